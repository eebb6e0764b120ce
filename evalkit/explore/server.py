"""The server of the page: on this machine alone, and for no page but its own.

A website that one visits can send requests to any address of one's machine. So only requests are answered
that name this server as their host (a website's own name that leads to this machine, "DNS rebinding", is
another one) and, where they ask for work, come from its own page and are JSON, which no form can send:
https://owasp.org/www-community/attacks/csrf and https://fetch.spec.whatwg.org/#origin-header
"""

import json
import socketserver
import sys
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from evalkit.errors import EvalkitError, UsageError, system_line
from evalkit.explore.answers import Answers
from evalkit.explore.reading import MAX_TEXT_BYTES
from evalkit.explore.sampling import MAX_SAMPLED_TOKENS
from evalkit.models.protocol import TokenModel
from evalkit.report.writer import standalone_page
from evalkit.terminal import complain

ADDRESS = "127.0.0.1"
_MAX_REQUEST_BYTES = 6 * MAX_TEXT_BYTES + 1000
r"""JSON may write a byte of a text as ``\u0000``."""
_MAX_LENGTH_DIGITS = 12
_PATIENCE_S = 60
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",  # the page's own says the rest of it
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class ExploreServer(ThreadingHTTPServer):
    """Takes its port at once, and answers when it has models."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        """Listen on a port of this machine.

        Args:
            port: 0: one that is free.

        Raises:
            UsageError: the port cannot be had.
        """
        self.page = b""
        self.answers = Answers([])
        try:
            super().__init__((ADDRESS, port), _Handler)
        except OSError as error:
            raise UsageError(
                f"--port {port} cannot be had: {error.strerror}; leave it out for one that is free"
            ) from error
        self.hosts = {f"{name}:{self.server_port}" for name in (ADDRESS, "localhost")}

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{ADDRESS}:{self.server_port}/"

    def use(self, models: Sequence[TokenModel]) -> None:
        """Answer for these models from now on."""
        self.answers = Answers(models)
        names = [model.identity.name for model in models]
        self.page = standalone_page(
            "explore.html",
            ["common.js", "tokens.js", "explore.js"],
            names=names,
            max_bytes=MAX_TEXT_BYTES,
            max_tokens=MAX_SAMPLED_TOKENS,
        ).encode()

    def server_bind(self) -> None:
        """Take the port, without looking up the machine's name, which may ask a server elsewhere."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = ADDRESS, int(self.server_address[1])

    def server_close(self) -> None:
        """Give the port back; returns when nothing computes."""
        super().server_close()
        self.answers.end()

    def handle_error(self, _request: object, _client_address: object) -> None:
        """Say what went wrong with a request; nothing where a browser went away, as they do."""
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, ConnectionError | TimeoutError):
            complain(system_line(error) or f"unexpected {type(error).__name__}: {error}")


class _Handler(BaseHTTPRequestHandler):
    server: ExploreServer
    timeout = _PATIENCE_S

    def version_string(self) -> str:
        return "evalkit"

    def log_message(self, format: str, *args: object) -> None:
        """The terminal is for what is wrong; a request that is refused is told of where it came from."""

    def do_GET(self) -> None:
        if not self._is_for_us():
            self._refuse(
                HTTPStatus.FORBIDDEN, "this server answers on this machine alone, by its own address"
            )
        elif self.path != "/":
            self._refuse(HTTPStatus.NOT_FOUND, f"there is no such page; the page is {self.server.url}")
        else:
            self._send(HTTPStatus.OK, "text/html; charset=utf-8", self.server.page)

    def do_POST(self) -> None:
        if not self._is_for_us() or self.headers.get_all("Origin") != [f"http://{self.headers['Host']}"]:
            self._refuse(HTTPStatus.FORBIDDEN, "only the page of this server may ask it")
        elif not self.server.answers.knows(self.path):
            self._refuse(HTTPStatus.NOT_FOUND, "nothing is answered at this address")
        elif self.headers.get_content_type() != "application/json":
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a request is JSON")
        elif not (length := self.headers.get("Content-Length", "")).isdecimal():
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "a request says its length")
        elif len(length) > _MAX_LENGTH_DIGITS or int(length) > _MAX_REQUEST_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a text has at most {MAX_TEXT_BYTES:,} bytes")
        else:
            self._answer(self.rfile.read(int(length)))

    def _answer(self, body: bytes) -> None:
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):
            self._refuse(HTTPStatus.BAD_REQUEST, "the request is no JSON")
            return
        try:
            answer = self.server.answers.answer(self.path, content)
        except EvalkitError as error:
            self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, str(error))
        except BaseException as error:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, f"unexpected {type(error).__name__}: {error}")
            raise  # and `ExploreServer.handle_error` tells of it on the terminal
        else:
            self._send_json(HTTPStatus.OK, answer)

    def _is_for_us(self) -> bool:
        hosts = self.headers.get_all("Host") or []
        return len(hosts) == 1 and hosts[0] in self.server.hosts

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        self._send_json(status, {"error": reason})

    def _send_json(self, status: HTTPStatus, content: dict[str, object]) -> None:
        self._send(status, "application/json", json.dumps(content, allow_nan=False).encode())

    def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **_HEADERS}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
