"""Servers on this machine that stand for the hub of models and for Weights & Biases."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Server(BaseHTTPRequestHandler):
    """Notes the host and the path of every visit."""

    visits: list[str]
    port: int

    def note(self) -> None:
        host = (self.headers["Host"] or "").partition(":")[0]
        self.visits.append(f"{host} {self.path}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Hub(Server):
    """Serves one repository. Where ``leads`` names a path, its files lie at another address."""

    leads: dict[str, str]
    files: Mapping[str, bytes]

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, *, with_body: bool) -> None:
        self.note()
        name = self.path.rpartition("/")[2]
        body, etag = self.files.get(name, b""), f'"{Path(name).stem}"'
        size = len(body)
        if self.path.startswith("/api/"):
            tree = [
                {"type": "file", "path": one, "size": len(content), "oid": Path(one).stem}
                for one, content in self.files.items()
            ]
            siblings = [{"rfilename": one} for one in self.files]
            about = tree if "/tree/" in self.path else {"id": "a/b", "sha": COMMIT, "siblings": siblings}
            body = json.dumps(about).encode()
        led = next((url for part, url in self.leads.items() if part in self.path), None)
        if "elsewhere" not in self.path and led is not None:
            self.send_response(302)
            self.send_header("Location", f"{led}/elsewhere{self.path}")
            self.send_header("X-Linked-Etag", etag)
            self.send_header("X-Linked-Size", str(size))
            body = b""
        else:
            self.send_response(200)
        self.send_header("ETag", etag)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)


class WeightsAndBiases(Server):
    """Takes the log of a run; ``sent`` are the names of the files that it was sent."""

    sent: list[str]

    def answer(self) -> None:
        self.note()
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        said = self.answer_query(json.loads(body)) if self.path == "/graphql" else {}
        if self.path.startswith("/store/"):
            self.sent.append(self.path.removeprefix("/store/"))
        content = json.dumps({"data": said}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self) -> None:
        self.answer()

    def do_PUT(self) -> None:
        self.answer()

    def answer_query(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        query = asked["query"]
        if "mutation UpsertBucket" in query:
            project = {"id": "p", "name": "mine", "entity": {"id": "e", "name": "lab"}}
            bucket = {"id": "r", "name": "run", "displayName": "run", "config": "{}", "project": project}
            return {"upsertBucket": {"bucket": bucket | {"historyLineCount": 0}, "inserted": True}}
        if "mutation CreateRunFiles" in query:
            store = f"http://127.0.0.1:{self.port}/store"
            files = [{"name": one, "uploadUrl": f"{store}/{one}"} for one in asked["variables"]["files"]]
            return {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": files}}
        return {}


S = TypeVar("S", bound=Server)


@contextmanager
def serving(kind: type[S], **facts: Any) -> Iterator[type[S]]:
    """Start a server, and yield its handler, which has the given facts, its ``port`` and ``visits``."""
    handler: Any = type(kind.__name__, (kind,), {**facts, "visits": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        handler.port = server.server_address[1]
        try:
            yield handler
        finally:
            server.shutdown()
            thread.join()
