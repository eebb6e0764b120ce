"""A small model hub on this machine: as much of the real one's API as its client needs."""

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git_blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def is_large(name: str) -> bool:
    return not name.endswith(".json")


def digest(name: str, data: bytes) -> str:
    """What the hub calls a file: its SHA-256 where it is in LFS, else its git blob id."""
    return hashlib.sha256(data).hexdigest() if is_large(name) else git_blob_id(data)


class HubServer(ThreadingHTTPServer):
    """Repositories by name, each the same at its only commit; every request is written down."""

    def __init__(self, repositories: Mapping[str, Mapping[str, bytes]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories = repositories
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextlib.contextmanager
def serve(repositories: Mapping[str, Mapping[str, bytes]]) -> Iterator[HubServer]:
    server = HubServer(repositories)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: HubServer

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.requests.append(f"{self.command} {self.path}")
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/broken/"):
            return self.answer(503)
        if path.startswith("/gated/") or path.endswith("/locked.bin"):
            return self.answer(403, error="GatedRepo")
        repo = "/".join(path.removeprefix("/api/models").split("/")[1:3])
        if repo not in self.server.repositories:
            return self.answer(404, error="RepoNotFound")
        files = self.server.repositories[repo]
        _, asks_info, revision = path.partition("/revision/")
        if asks_info and revision not in ("main", COMMIT):
            return self.answer(404, error="RevisionNotFound")
        if asks_info:
            return self.answer(200, json.dumps(_info(repo, files)).encode())
        if "/tree/" in path:
            return self.answer(200, json.dumps([_tree_file(*item) for item in files.items()]).encode())
        _, _, name = path.partition(f"/resolve/{COMMIT}/")
        if name in files:
            headers = {"ETag": f'"{digest(name, files[name])}"', "X-Repo-Commit": COMMIT}
            return self.answer(200, files[name], headers)
        return self.answer(404, error="EntryNotFound")

    def answer(
        self, status: int, body: bytes = b"", headers: dict[str, str] | None = None, error: str | None = None
    ) -> None:
        self.send_response(status)
        if error:
            self.send_header("X-Error-Code", error)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


def _info(repo: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    siblings = []
    for name, data in files.items():
        sibling = {"rfilename": name, "size": len(data), "blobId": git_blob_id(data)}
        if is_large(name):
            sibling["lfs"] = {"size": len(data), "sha256": digest(name, data), "pointerSize": 1}
        siblings.append(sibling)
    return {"_id": "1", "id": repo, "sha": COMMIT, "siblings": siblings, "tags": []}


def _tree_file(name: str, data: bytes) -> dict[str, Any]:
    entry = {"type": "file", "path": name, "size": len(data), "oid": git_blob_id(data)}
    if is_large(name):
        entry["lfs"] = {"oid": digest(name, data), "size": len(data), "pointerSize": 1}
    return entry
