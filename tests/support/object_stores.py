"""Object stores that tests can have: fsspec's in memory, and a real S3 server on loopback."""

import contextlib
from collections.abc import Iterator

import fsspec
import pytest

from evalkit.runner.remote import remote_folder


@contextlib.contextmanager
def memory_store() -> Iterator[str]:
    """An address in memory, where nothing lies before and after."""
    files = fsspec.filesystem("memory")
    try:
        yield "memory://bucket/runs"
    finally:
        files.store.clear()
        files.pseudo_dirs[:] = [""]
        remote_folder.cache_clear()


@contextlib.contextmanager
def s3_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An address on a server of moto's, which this process and those that it starts can write to."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir("bucket")
    try:
        yield "s3://bucket/some/runs"
    finally:
        server.stop()
        remote_folder.cache_clear()


def stored(url: str) -> list[str]:
    """The names of what lies below an address."""
    files, root = fsspec.core.url_to_fs(url, use_listings_cache=False, skip_instance_cache=True)
    return sorted(key.removeprefix(root).strip("/") for key in files.find(root))
