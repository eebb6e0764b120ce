"""``transformers serve``: a real server that passes over what scoring needs, and is refused for it."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers.cli.serve import Serve

from evalkit.errors import ModelError
from evalkit.models.loading import load_model
from tests.support.byte_llama import byte_llama


class _ServeOnSocket(Serve):
    """Takes connections on a socket that listens already, so that nobody need wait until it has started."""

    def start_server(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        serving = self.server.serve(sockets=[self.socket])
        self._thread = threading.Thread(target=asyncio.run, args=[serving])
        self._thread.start()


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr("huggingface_hub.utils._cache_manager.HF_HUB_CACHE", tmp_path)  # lists what is there
    server = _ServeOnSocket(str(byte_llama()), non_blocking=True, device="cpu")
    try:
        yield f"http://127.0.0.1:{server.socket.getsockname()[1]}/v1"
    finally:
        server.server.should_exit = True
        server._thread.join()
        server.kill_server()


@pytest.mark.slow
def test_it_takes_no_ids_and_tells_no_costs(url: str) -> None:
    with pytest.raises(
        ModelError, match=r"takes no prompt of token ids .* HTTP 400: prompt must be a string"
    ):
        load_model(f"openai:{url}?tokenizer={byte_llama()}#{byte_llama()}", max_context=100)
