"""A small hub of datasets on this machine: as much of the real one's API as `datasets` needs."""

import contextlib
import json
import re
from collections.abc import Mapping
from typing import Any

from tests.support.hub_server import HubHandler, HubServer, git_blob_id, serving


class DatasetHub(HubServer):
    """Datasets by name, each with its commits, of which the last is the newest, and their files."""

    def __init__(self, datasets: Mapping[str, Mapping[str, Mapping[str, bytes]]]) -> None:
        super().__init__(DatasetHubHandler)
        self.datasets = datasets


def serve_datasets(
    datasets: Mapping[str, Mapping[str, Mapping[str, bytes]]],
) -> contextlib.AbstractContextManager[DatasetHub]:
    return serving(DatasetHub(datasets))


class DatasetHubHandler(HubHandler):
    """Answers for a `DatasetHub`."""

    server: DatasetHub

    def do_GET(self) -> None:
        path = self.note()
        match = re.fullmatch(r"(?:/api)?/datasets/([^/]+/[^/]+)(?:/([a-z-]+)/([^/]+)(?:/(.*))?)?", path)
        if match is None or match[1] not in self.server.datasets:
            return self.answer(404, error="RepoNotFound")
        repo, verb, revision, name = match.groups()
        commits = self.server.datasets[repo]
        commit = list(commits)[-1] if revision in (None, "main") else revision
        if commit not in commits:
            return self.answer(404, error="RevisionNotFound")
        files = commits[commit]
        if verb in (None, "revision"):
            siblings = [{"rfilename": file} for file in files]
            return self.answer(200, {"_id": "1", "id": repo, "sha": commit, "siblings": siblings, "tags": []})
        if verb == "tree":
            entries = _listed(files, f"{name}/" if name else "", "recursive=true" in self.path.lower())
            return self.answer(200, entries) if entries else self.answer(404, error="EntryNotFound")
        if verb == "paths-info":
            length = int(self.headers["Content-Length"] or 0)
            body = self.rfile.read(length).decode()
            paths = json.loads(body)["paths"] if body.startswith("{") else re.findall("paths=([^&]+)", body)
            return self.answer(200, [_entry(file, files[file]) for file in paths if file in files])
        if name not in files:
            return self.answer(404, error="EntryNotFound")
        return self.answer(
            200, files[name], {"ETag": f'"{git_blob_id(files[name])}"', "X-Repo-Commit": commit}
        )

    do_POST = do_GET


def _listed(files: Mapping[str, bytes], folder: str, is_recursive: bool) -> list[dict[str, Any]]:
    """What is in a folder, ``""`` for all: its files, and its folders by name or with all that is in them."""
    entries: dict[str, dict[str, Any]] = {}
    for name, data in files.items():
        first, slash, _ = name.removeprefix(folder).partition("/")
        if not name.startswith(folder):
            continue
        if slash and not is_recursive:
            path = folder + first
            entries[path] = {"type": "directory", "path": path, "size": 0, "oid": git_blob_id(path.encode())}
        else:
            entries[name] = _entry(name, data)
    return list(entries.values())


def _entry(name: str, data: bytes) -> dict[str, Any]:
    return {"type": "file", "path": name, "size": len(data), "oid": git_blob_id(data)}
