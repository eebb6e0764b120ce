"""The hub client against a small hub on this machine: real requests, real cache folders."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import ModelError
from evalkit.hub import weight_files, weights_sha256

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "config.json": b'{"model_type": "tiny"}',
    "model.safetensors": b"safe weights" * 100,
    "pytorch_model.bin": b"pickled weights" * 100,
    "original/consolidated.00.pth": b"original weights" * 100,
}


def git_blob_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def is_large(name: str) -> bool:
    return not name.endswith(".json")


def digest(name: str) -> str:
    """What the hub calls the file: its SHA-256 where it is in LFS, else its git blob id."""
    return hashlib.sha256(FILES[name]).hexdigest() if is_large(name) else git_blob_id(FILES[name])


DIGESTS = {name: digest(name) for name in FILES}


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's API as looking at a repository and downloading its files takes."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.requests.append(f"{self.command} {self.path}")  # type: ignore[attr-defined]
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/missing/"):
            return self.answer(404, error="RepoNotFound")
        if path.startswith("/api/models/broken/"):
            return self.answer(503)
        if path.startswith("/gated/") or path.endswith("/locked.bin"):
            return self.answer(403, error="GatedRepo")
        api, _, revision = path.partition("/revision/")
        if revision and revision not in ("main", COMMIT):
            return self.answer(404, error="RevisionNotFound")
        if revision:
            return self.answer(200, json.dumps(self.info(api.removeprefix("/api/models/"))).encode())
        if "/tree/" in path:
            return self.answer(200, json.dumps([self.tree_file(name) for name in FILES]).encode())
        _, _, name = path.partition(f"/resolve/{COMMIT}/")
        if name in FILES:
            headers = {"ETag": f'"{digest(name)}"', "X-Repo-Commit": COMMIT}
            return self.answer(200, FILES[name], headers)
        return self.answer(404, error="EntryNotFound")

    def info(self, repo: str) -> dict[str, Any]:
        siblings = [
            {
                "rfilename": name,
                "size": len(data),
                "blobId": git_blob_id(data),
                **(
                    {"lfs": {"size": len(data), "sha256": digest(name), "pointerSize": 1}}
                    if is_large(name)
                    else {}
                ),
            }
            for name, data in FILES.items()
        ]
        return {"_id": "1", "id": repo, "sha": COMMIT, "siblings": siblings, "tags": []}

    def tree_file(self, name: str) -> dict[str, Any]:
        size = len(FILES[name])
        entry = {"type": "file", "path": name, "size": size, "oid": git_blob_id(FILES[name])}
        return entry | (
            {"lfs": {"oid": digest(name), "size": size, "pointerSize": 1}} if is_large(name) else {}
        )

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


@pytest.fixture(scope="module")
def hub() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.requests = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def client(script: str, endpoint: str, home: Path, **variables: str) -> list[Any]:
    """Run a script beside a client of its own; what it passed to ``say``, one value per call.

    A process of its own, because the client reads its environment when it is imported, and the tests'
    own environment says that there is no network.
    """
    prelude = """
import dataclasses, json
from evalkit.errors import ModelError
from evalkit.hub import cached_files, download, hub_files, weights_sha256
def say(value):
    print(json.dumps(dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value, default=str))
def refused(call, *args):
    try:
        call(*args)
    except ModelError as error:
        return str(error)
"""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    environment |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1", **variables}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", prelude + script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # Nothing but the answers: no progress bar where stderr is not a terminal.
    assert "%|" not in done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def url(hub: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{hub.server_port}"


NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing listens there


def test_looking_downloading_and_looking_again_offline(hub: ThreadingHTTPServer, tmp_path: Path) -> None:
    requests: list[str] = hub.requests  # type: ignore[attr-defined]
    requests.clear()
    before, digest_before, nothing = client(
        """
snapshot = hub_files("owner/tiny")
say(snapshot)
say(weights_sha256(snapshot.files))
say(cached_files("owner/tiny"))
""",
        url(hub),
        tmp_path,
    )
    assert before == {"repo": "owner/tiny", "commit": COMMIT, "files": DIGESTS, "local_folder": None}
    assert not any("/resolve/" in request for request in requests)  # nothing was downloaded for it
    assert nothing is None

    folder, after, partial = client(
        f"""
say(download("owner/tiny", "{COMMIT}", ["*.json", "model.safetensors"]))
say(hub_files("owner/tiny"))
say(cached_files("owner/tiny"))
""",
        url(hub),
        tmp_path,
    )
    downloaded = ["config.json", "model.safetensors"]
    assert sorted(path.name for path in Path(folder).iterdir()) == downloaded
    assert (Path(folder) / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    assert after == before | {"local_folder": folder}
    assert partial == after | {"files": {name: DIGESTS[name] for name in downloaded}}
    assert not any("pytorch_model.bin" in request for request in requests)

    requests.clear()
    offline_script = f"""
snapshot = hub_files("owner/tiny")
say(snapshot)
say(weights_sha256(snapshot.files))
say(download("owner/tiny", "{COMMIT}", ["*.json", "model.safetensors"]))
say(refused(hub_files, "owner/other"))
"""
    for endpoint, variables, reason in (
        (url(hub), {"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
        (NOWHERE, {}, "ConnectError"),
    ):
        offline, digest_offline, again, other = client(offline_script, endpoint, tmp_path, **variables)
        assert offline == partial
        assert digest_offline == digest_before
        assert again == folder
        assert other == (
            f"cannot reach the hub for owner/other ({reason}) and not all of it is in the local cache: "
            "connect once, or give a local path"
        )
    [missing] = client(
        f'say(refused(download, "owner/tiny", "{COMMIT}", ["*.bin"]))',
        url(hub),
        tmp_path,
        HF_HUB_OFFLINE="1",
    )
    assert missing.startswith("cannot reach the hub for owner/tiny (HF_HUB_OFFLINE is set)")
    assert requests == []


def test_refusals_are_one_line_that_says_what_to_do(hub: ThreadingHTTPServer, tmp_path: Path) -> None:
    endpoint = url(hub)
    messages = client(
        f"""
say(refused(hub_files, "missing/model"))
say(refused(hub_files, "owner/tiny", "v9"))
say(refused(hub_files, "no such name"))
say(refused(hub_files, "broken/model"))
say(refused(hub_files, "broken/model", "{COMMIT}"))
say(refused(download, "gated/model", "{COMMIT}", ["*.safetensors"]))
say(refused(download, "owner/tiny", "{COMMIT}", ["*.gguf", "x.onnx"]))
""",
        endpoint,
        tmp_path,
    )
    missing, revision, name, broken, broken_commit, gated, unmatched = messages
    assert not any("\n" in message for message in messages)
    assert missing.startswith("the hub has no model missing/model, or it is private")
    assert "HF_TOKEN" in missing
    assert revision == f"owner/tiny has no revision 'v9': see {endpoint}/owner/tiny/commits/main"
    assert name == "'no such name' is not the name of a hub repository (owner/name)"
    assert broken.startswith("cannot reach the hub for broken/model (")
    assert broken_commit == "the hub answered 503 for broken/model: try again later"
    assert f"gated/model is gated: accept its licence at {endpoint}/gated/model and set HF_TOKEN" in gated
    assert "has no file *.gguf or x.onnx" in unmatched


def test_weights_prefer_safetensors_of_the_topmost_folder() -> None:
    assert weight_files(DIGESTS) == {"model.safetensors": DIGESTS["model.safetensors"]}
    without = {name: digest for name, digest in DIGESTS.items() if not name.endswith(".safetensors")}
    assert set(weight_files(without)) == {"pytorch_model.bin"}
    assert set(weight_files({"a/x.safetensors": "1", "b/y.safetensors": "2", "z.bin": "3"})) == {
        "a/x.safetensors",
        "b/y.safetensors",
    }
    assert weight_files({"config.json": "1"}) == {}


def test_weights_digest_depends_on_names_and_contents_only() -> None:
    shards = {"model-1.safetensors": "aa", "model-2.safetensors": "bb"}
    expected = hashlib.sha256(b"model-1.safetensors aa\nmodel-2.safetensors bb\n").hexdigest()
    assert weights_sha256(shards) == expected
    assert weights_sha256({**dict(reversed(shards.items())), "config.json": "cc"}) == expected
    assert weights_sha256({"model-1.safetensors": "bb", "model-2.safetensors": "aa"}) != expected
    with pytest.raises(ModelError, match="no weights"):
        weights_sha256({"config.json": "cc"})
