# SPDX-License-Identifier: MIT
"""A reward server that makes the mistake its path names on batches whose first prompt is "fail", and else answers with the length
of each response. Says its port over the descriptor that a worker gets."""
import http.server
import json
import os
import time

REDIRECT_TO = "/well"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert set(request) - {"images"} == {"query", "prompts", "labels"}, request.keys()
        assert self.headers["Content-Type"] == "application/json"
        self.rewards = [len(q) - len(p) for q, p in zip(request["query"], request["prompts"], strict=True)]
        mistake = self.path.strip("/") if request["prompts"][0] == "fail" else "well"
        getattr(self, mistake)(request)

    def answer(self, text, status=200, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def well(self, request):
        self.answer(json.dumps({"rewards": self.rewards, "scores": [0], "extra_logs": {}}))

    def abstains(self, request):
        self.answer(json.dumps({"rewards": [None, 2.5]}))

    def echo(self, request):
        del request["query"], request["prompts"]
        self.answer(json.dumps(request | {"token": self.headers["Authorization"]}), status=418)

    def error(self, request):
        self.answer("no\nmodel", status=500)

    def redirect(self, request):
        self.answer("", status=307, headers=[("Location", REDIRECT_TO)])

    def slow(self, request):
        time.sleep(60)

    def drip(self, request):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        for _ in range(1000):
            self.wfile.write(b" ")
            time.sleep(0.05)

    def garbage(self, request):
        self.answer("<html>")

    def list(self, request):
        self.answer(json.dumps(self.rewards))

    def count(self, request):
        self.answer(json.dumps({"rewards": self.rewards[1:]}))

    def nan(self, request):
        self.answer('{"rewards": [NaN, 1]}')

    def text(self, request):
        self.answer('{"rewards": [1, "x"]}')

    def closes(self, request):
        self.close_connection = True

    def cut(self, request):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b'{"rewards": [1, 1]}')
        self.close_connection = True

    def huge(self, request):
        self.send_response(200)
        self.send_header("Content-Length", str(1 << 40))
        self.end_headers()
        while True:
            self.wfile.write(b" " * (1 << 20))

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, address):
        """Clients that have had enough."""


server = Server(("127.0.0.1", 0), Handler)
os.write(int(os.environ["MMADA_REWARD_FD"]), f"{server.server_port}\n".encode())
server.serve_forever()
