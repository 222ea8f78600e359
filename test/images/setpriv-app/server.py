"""Counts requests in /var/lib/counter and logs them in /var/log/counter."""
import http.server
import pathlib
import sys

COUNT = pathlib.Path("/var/lib/counter/count")
LOG = open("/var/log/counter/access.log", "a", buffering=1)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        n = int(COUNT.read_text()) + 1 if COUNT.exists() else 1
        COUNT.write_text(str(n))
        body = f"served {n}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, text, *args):
        LOG.write(text % args + "\n")


http.server.HTTPServer(("", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()
