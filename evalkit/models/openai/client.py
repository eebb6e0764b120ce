"""Requests to one server: bounded in number, time and size, tried again where that helps, never redirected.

Requests go to the address that the user gave and nowhere else: redirects are not followed, and neither
proxies nor passwords are taken from the environment. They run on a thread of their own, so that a program
that has an event loop already, as notebooks do, may score as well.
"""

import asyncio
import logging
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import TypeVar

import httpx2
import stamina

from evalkit.errors import ModelError, UsageError, first_line
from evalkit.files import parse_json
from evalkit.models.openai.address import ServerAddress
from evalkit.terminal import printable

KEY_VARIABLE = "EVALKIT_API_KEY"
MAX_ANSWER_BYTES = 1 << 24
_MAX_TRIES = 8
_BUSY = (408, 425, 429)
_INVALID = "validation error"
"""What servers say of a request that is of the wrong form, llama-cpp-python's with status 500."""
_SHOWN_LENGTH = 200
"""Of what a server says about an error."""

T = TypeVar("T")
Job = Callable[[int], Coroutine[object, object, T]]
"""What one of the workers does; it gets the worker's number."""

# Retries are no news, and without a handler Python would print them.
logging.getLogger("stamina").addHandler(logging.NullHandler())


class RefusedRequest(ModelError):
    """A server will not do what a request asks, however often it is asked."""

    def __init__(self, message: str, status: int, reason: str) -> None:
        """As the server said it.

        Args:
            message: the whole line.
            status: of HTTP.
            reason: the server's own words.
        """
        super().__init__(message)
        self.status, self.reason = status, reason


class _TryAgain(Exception):
    """A try that failed for a reason that may pass."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


def api_key() -> str | None:
    """The key of ``$EVALKIT_API_KEY``; None where there is none.

    Raises:
        UsageError: it cannot be sent. The message does not show it.
    """
    key = os.environ.get(KEY_VARIABLE, "")
    if not all("!" <= character <= "~" for character in key):
        raise UsageError(f"{KEY_VARIABLE} holds a blank, a line break or another character that no key has")
    return key or None


class Client:
    """Sends requests to a server; to be closed."""

    def __init__(self, address: ServerAddress, name: str, key: str | None = None) -> None:
        """Connect to nothing yet.

        Args:
            address: of the server.
            name: the model's, for messages.
            key: what the server wants to see; never shown.
        """
        self.address, self.name = address, name
        self._key = key
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._http = httpx2.AsyncClient(
            headers={**headers, "Accept": "application/json", "Accept-Encoding": "identity"},
            timeout=address.timeout_s,
            limits=httpx2.Limits(max_connections=address.num_workers),
            follow_redirects=False,
            trust_env=False,
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="evalkit-openai")
        self._thread.start()

    def close(self) -> None:
        """Close all connections; nothing can be asked any more."""
        if not self._thread.is_alive() or sys.is_finalizing():  # then nothing runs on the thread any more
            return
        asyncio.run_coroutine_threadsafe(self._http.aclose(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> "Client":
        """For ``with``."""
        return self

    def __exit__(self, *error: object) -> None:
        """As `close`."""
        self.close()

    def run(self, jobs: Sequence[Job[T]]) -> list[T]:
        """Do jobs side by side, as many at a time as there are workers.

        Raises:
            ModelError: one of them failed; the others are given up.
        """
        future = asyncio.run_coroutine_threadsafe(self._run(jobs), self._loop)
        try:
            return future.result()
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            future.cancel()  # after Ctrl-C

    def get(self, url: str) -> object:
        """The JSON value at an address of this server."""
        return self.run([lambda _: self.ask(url)])[0]

    def post(self, url: str, body: object) -> object:
        """The JSON value that answers a request with a body."""
        return self.run([lambda _: self.ask(url, body)])[0]

    async def ask(self, url: str, body: object = None, max_bytes: int = MAX_ANSWER_BYTES) -> object:
        """Send a request until it is answered.

        Args:
            url: an address of this server.
            body: what to post; None: get.
            max_bytes: most that an answer may hold.

        Raises:
            RefusedRequest: the server answers that it will not.
            ModelError: it cannot be reached, is too slow, fails again and again, or answers no JSON.
        """
        attempts = stamina.retry_context(
            on=lambda error: (error.wait_s or True) if isinstance(error, _TryAgain) else False,
            attempts=_MAX_TRIES,
            timeout=3 * self.address.timeout_s,
            wait_max=30.0,
        )
        try:
            async for attempt in attempts:
                with attempt:
                    return await self._try(url, body, max_bytes)
        except _TryAgain as failure:
            raise ModelError(f"{self.name}: {self.address.place} {failure}") from None
        raise AssertionError("stamina tries at least once")

    async def _run(self, jobs: Sequence[Job[T]]) -> list[T]:
        free: asyncio.Queue[int] = asyncio.Queue()
        for worker in range(self.address.num_workers):
            free.put_nowait(worker)

        async def work(job: Job[T]) -> T:
            worker = await free.get()
            try:
                return await job(worker)
            finally:
                free.put_nowait(worker)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work(job)) for job in jobs]
        return [task.result() for task in tasks]

    async def _try(self, url: str, body: object, max_bytes: int) -> object:
        timeout_s = self.address.timeout_s
        try:
            async with asyncio.timeout(timeout_s):  # the library's own only counts the silence between pieces
                request = self._http.build_request("GET" if body is None else "POST", url, json=body)
                response = await self._http.send(request, stream=True)
                try:
                    data = await self._body(response.aiter_raw(), max_bytes)
                finally:
                    await response.aclose()
        except (TimeoutError, httpx2.TimeoutException):
            raise _TryAgain(
                f"did not answer within {timeout_s:g} s; if it needs longer, give ?timeout=SECONDS"
            ) from None
        except httpx2.TransportError as error:
            raise _TryAgain(
                f"cannot be reached: {self._shown(first_line(error))}; start it, or check the address"
            ) from None
        self._check_status(response, data)
        try:
            return parse_json(data)
        except ValueError:
            text = self._shown(data.decode(errors="replace"))
            raise ModelError(
                f"{self.name}: {self.address.place} answers no JSON but '{text}'; is this the address of the "
                "interface (…/v1)?"
            ) from None

    async def _body(self, pieces: AsyncIterator[bytes], max_bytes: int) -> bytes:
        body = bytearray()
        async for piece in pieces:
            body += piece
            if len(body) > max_bytes:
                raise ModelError(f"{self.name}: {self.address.place} answers more than {max_bytes:,} bytes")
        return bytes(body)

    def _check_status(self, response: httpx2.Response, data: bytes) -> None:
        status = response.status_code
        if status == 200:
            return
        place = self.address.place
        if 300 <= status < 400:
            to = self._shown(response.headers.get("location", "nowhere"))
            raise ModelError(
                f"{self.name}: {place} sends on to {to}, which is not followed; give that address"
            )
        reason = self._shown(_reason(data))
        if status in _BUSY or (status >= 500 and _INVALID not in reason):
            raise _TryAgain(f"answers HTTP {status}: {reason}", _wait_s(response.headers.get("retry-after")))
        message = f"{self.name}: {place} answers HTTP {status}: {reason}"
        if status in (401, 403):
            hint = "it does not take that key" if self._key else f"set {KEY_VARIABLE}"
            message = f"{message}; {hint}"
        raise RefusedRequest(message, status, reason)

    def _shown(self, text: str) -> str:
        """What a server says, short and without the key, which it may repeat."""
        if self._key:
            text = text.replace(self._key, "…")
        text = printable(" ".join(text.split()))
        return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}…"


def _reason(data: bytes) -> str:
    """What an error's body says, in whichever of the usual places."""
    try:
        content = parse_json(data)
    except ValueError:
        return data.decode(errors="replace")
    for name in ("error", "message", "detail"):
        if isinstance(content, dict) and name in content:
            content = content[name]
    return content if isinstance(content, str) else str(content)


def _wait_s(retry_after: str | None) -> float | None:
    """Of a ``Retry-After`` in seconds, at most a minute."""
    return min(float(retry_after), 60.0) if retry_after and retry_after.isdecimal() else None
