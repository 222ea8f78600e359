"""Answers every request with the number of requests so far, kept in a file in the home directory."""
import http.server
import os
import pathlib

COUNT = pathlib.Path(os.environ.get("HOME", "."), "cache", "count")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        n = int(COUNT.read_text()) + 1 if COUNT.exists() else 1
        COUNT.write_text(str(n))
        body = f"served {n}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


COUNT.parent.mkdir(exist_ok=True)
http.server.HTTPServer(("", 8000), Handler).serve_forever()
