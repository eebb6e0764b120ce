"""What hubs on this machine share: how they are run, how they answer, and how a client is sent to them."""

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar


def git_blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def hub_environment(folder: Path, **variables: str) -> dict[str, str]:
    """For a process of its own, since the hub's client reads its variables when it is imported.

    Its cache is in the folder; of the variables ``HF_ENDPOINT`` says which hub there is.
    """
    others = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return others | {"HF_HOME": str(folder), "NO_PROXY": "127.0.0.1", **variables}


class HubServer(ThreadingHTTPServer):
    """A server on a port of its own; every request is written down."""

    def __init__(self, handler: type["HubHandler"]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


Server = TypeVar("Server", bound=HubServer)


@contextlib.contextmanager
def serving(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class HubHandler(BaseHTTPRequestHandler):
    """Answers in the hub's manner; a HEAD request is answered as GET without a body."""

    server: Any

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        raise NotImplementedError

    def note(self) -> str:
        """Write the request down; its path without the query."""
        self.server.requests.append(f"{self.command} {self.path}")
        return self.path.partition("?")[0]

    def answer(
        self,
        status: int,
        content: Any = b"",
        headers: Mapping[str, str] | None = None,
        error: str | None = None,
    ) -> None:
        """Bytes as they are, anything else as JSON."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        if error:
            self.send_header("X-Error-Code", error)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass
