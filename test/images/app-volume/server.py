#!/usr/bin/python3
"""Counts the requests in a file under data/, and keeps its pid file there."""
import http.server
import os
import pathlib

DATA = pathlib.Path("data")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        count = DATA / "count"
        n = int(count.read_text()) + 1 if count.exists() else 1
        count.write_text(str(n))
        body = f"served {n}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


(DATA / "server.pid").write_text(str(os.getpid()))
(DATA / "tmp").mkdir(exist_ok=True)
http.server.HTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
