"""A model hub that fails at a request, once or from then on: an error, half an answer, somebody else's."""

import contextlib
from collections.abc import Mapping

from tests.support.hub_server import serving
from tests.support.local_hub import ModelHub, ModelHubHandler

MODEL = "owner/tiny"


class FailingHub(ModelHub):
    """Of one repository; well until `strike` is called."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        super().__init__({MODEL: files}, _Handler)
        self.way, self.first, self.last = "", 0, 0
        self.num_requests = 0
        self.num_requests_of_run = 1
        """How many a run makes of a hub that is well."""

    def strike(self, way: str, first: int, last: int) -> None:
        """Fail from the ``first`` request from now on to the ``last``."""
        self.way, self.first, self.last = way, first, last
        self.num_requests = 0

    def recover(self) -> None:
        """Be well again."""
        self.strike("", 0, 0)


class _Handler(ModelHubHandler):
    server: FailingHub

    def do_GET(self) -> None:
        self.server.num_requests += 1
        if not self.server.first <= self.server.num_requests <= self.server.last:
            return super().do_GET()
        match self.server.way:
            case "error 500":
                self.answer(500)
            case "cut off":
                self.is_cut = True
                super().do_GET()
            case "connection closed":
                self.close_connection = True
                self.connection.close()
            case "login page":
                self.answer(200, b"<html>Welcome to the hotel</html>")
        return None

    is_cut = False

    def answer(self, status, content=b"", headers=None, error=None):  # type: ignore[no-untyped-def]
        if not self.is_cut or not isinstance(content, bytes) or not content:
            return super().answer(status, content, headers, error)
        self.is_cut = False
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2])
        self.close_connection = True
        return None


def serve(files: Mapping[str, bytes]) -> contextlib.AbstractContextManager[FailingHub]:
    """The hub, running."""
    return serving(FailingHub(files))
