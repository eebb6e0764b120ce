"""A small model hub on this machine: as much of the real one's API as its client needs."""

import contextlib
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from tests.support.hub_server import HubHandler, HubServer, git_blob_id, serving

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LATER_COMMIT = "89abcdef0123456789abcdef0123456789abcdef"


EXPIRED_TOKEN = "hf_" + "expired" * 5


def is_large(name: str) -> bool:
    return not name.endswith(".json")


def digest(name: str, data: bytes) -> str:
    """What the hub calls a file: its SHA-256 where it is in LFS, else its git blob id."""
    return hashlib.sha256(data).hexdigest() if is_large(name) else git_blob_id(data)


def branch_commit(name: str) -> str:
    """The commit of a branch beside the main one."""
    return git_blob_id(name.encode())


class ModelHub(HubServer):
    """Repositories by name, each the same at its only commit, unless `move` says otherwise."""

    def __init__(
        self,
        repositories: Mapping[str, Mapping[str, bytes]],
        handler: "type[ModelHubHandler] | None" = None,
    ) -> None:
        super().__init__(handler or ModelHubHandler)
        self.repositories = repositories
        self.branches: dict[str, dict[str, Mapping[str, bytes]]] = {}
        """By repository and name: the files of branches beside the main one."""
        self.is_captive = False
        """Whether a login page stands before it and answers everything."""
        self.num_ranges = 0
        """Requests for a part of a file."""
        self._later: dict[str, tuple[Mapping[str, bytes], bool]] = {}
        self._moved: set[str] = set()

    def move(self, repo: str, files: Mapping[str, bytes], *, keeps_history: bool) -> None:
        """Let the main branch move to `LATER_COMMIT`, just when somebody begins to download weights.

        Args:
            repo: whose branch.
            files: of the later commit.
            keeps_history: whether `COMMIT` is still there then.
        """
        self._later[repo] = files, keeps_history

    def weights_are_wanted(self, repo: str) -> None:
        if repo in self._later:
            self._moved.add(repo)

    def head(self, repo: str) -> str:
        """The commit of the main branch."""
        return LATER_COMMIT if repo in self._moved else COMMIT

    def files(self, repo: str, revision: str) -> Mapping[str, bytes] | None:
        """The files of a branch or commit; None where there is no such."""
        for name, files in self.branches.get(repo, {}).items():
            if revision in (name, branch_commit(name)):
                return files
        commit = self.head(repo) if revision == "main" else revision
        later, keeps_history = self._later.get(repo, ({}, True))
        if commit == LATER_COMMIT and repo in self._moved:
            return later
        exists = commit == COMMIT and (repo not in self._moved or keeps_history)
        return self.repositories[repo] if exists else None


def serve(
    repositories: Mapping[str, Mapping[str, bytes]],
) -> contextlib.AbstractContextManager[ModelHub]:
    return serving(ModelHub(repositories))


class ModelHubHandler(HubHandler):
    """Answers for a `ModelHub`."""

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
        if path == f"/api/models/{repo}/refs":
            names = {"main": self.server.head(repo)}
            names |= {name: branch_commit(name) for name in self.server.branches.get(repo, {})}
            refs = [
                {"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit}
                for name, commit in names.items()
            ]
            return self.answer(200, {"branches": refs, "tags": [], "converts": []})
        match = re.search(r"/(revision|tree|resolve)/(main|[^/]+)(?:/(.*))?$", path)
        if match is None:
            return self.answer(404, error="EntryNotFound")
        kind, revision, name = match.groups()
        if kind == "resolve" and is_large(name) and not self.headers["Range"]:
            self.server.weights_are_wanted(repo)
        files = self.server.files(repo, revision)
        if files is None:
            return self.answer(404, error="RevisionNotFound")
        commit = self.server.head(repo) if revision == "main" else revision
        commit = branch_commit(revision) if revision in self.server.branches.get(repo, {}) else commit
        if kind == "revision":
            return self.answer(200, _info(repo, commit, files))
        if kind == "tree":
            return self.answer(200, [_tree_file(*item) for item in files.items()])
        if name not in files:
            return self.answer(404, error="EntryNotFound")
        headers = {"ETag": f'"{digest(name, files[name])}"', "X-Repo-Commit": commit}
        if part := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"] or ""):
            content = files[name][int(part[1]) : int(part[2]) + 1]
            self.server.num_ranges += 1
            return self.answer(206, content, headers)
        return self.answer(200, files[name], headers)


def _info(repo: str, commit: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    siblings = []
    for name, data in files.items():
        sibling = {"rfilename": name, "size": len(data), "blobId": git_blob_id(data)}
        if is_large(name):
            sibling["lfs"] = {"size": len(data), "sha256": digest(name, data), "pointerSize": 1}
        siblings.append(sibling)
    return {"_id": "1", "id": repo, "sha": commit, "siblings": siblings, "tags": []}


def _tree_file(name: str, data: bytes) -> dict[str, Any]:
    entry = {"type": "file", "path": name, "size": len(data), "oid": git_blob_id(data)}
    if is_large(name):
        entry["lfs"] = {"oid": digest(name, data), "size": len(data), "pointerSize": 1}
    return entry
