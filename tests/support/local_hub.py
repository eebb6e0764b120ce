"""A small model hub on this machine: as much of the real one's API as its client needs."""

import contextlib
import hashlib
from collections.abc import Mapping
from typing import Any

from tests.support.hub_server import HubHandler, HubServer, git_blob_id, serving

COMMIT = "0123456789abcdef0123456789abcdef01234567"


EXPIRED_TOKEN = "hf_" + "expired" * 5


def is_large(name: str) -> bool:
    return not name.endswith(".json")


def digest(name: str, data: bytes) -> str:
    """What the hub calls a file: its SHA-256 where it is in LFS, else its git blob id."""
    return hashlib.sha256(data).hexdigest() if is_large(name) else git_blob_id(data)


class ModelHub(HubServer):
    """Repositories by name, each the same at its only commit."""

    def __init__(self, repositories: Mapping[str, Mapping[str, bytes]]) -> None:
        super().__init__(_Handler)
        self.repositories = repositories
        self.is_captive = False
        """Whether a login page stands before it and answers everything."""


def serve(
    repositories: Mapping[str, Mapping[str, bytes]],
) -> contextlib.AbstractContextManager[ModelHub]:
    return serving(ModelHub(repositories))


class _Handler(HubHandler):
    server: ModelHub

    def do_GET(self) -> None:
        path = self.note()
        if self.server.is_captive:
            return self.answer(200, b"<html>Welcome to the hotel</html>")
        if self.headers["Authorization"] == f"Bearer {EXPIRED_TOKEN}":
            message = "Invalid credentials in Authorization header"
            return self.answer(401, headers={"X-Error-Message": message})
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
            return self.answer(200, _info(repo, files))
        if "/tree/" in path:
            return self.answer(200, [_tree_file(*item) for item in files.items()])
        _, _, name = path.partition(f"/resolve/{COMMIT}/")
        if name in files:
            headers = {"ETag": f'"{digest(name, files[name])}"', "X-Repo-Commit": COMMIT}
            return self.answer(200, files[name], headers)
        return self.answer(404, error="EntryNotFound")


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
