"""A small hub on this machine that takes datasets: as much of the real one's API as its client needs.

Files come inside of the commit, as the real hub takes small ones; its storage for large files is not here.
"""

import base64
import contextlib
import hashlib
import json
import urllib.parse

from tests.support.hub_server import HubHandler, HubServer, git_blob_id, serving

TOKEN = "hf_test"


class UploadHub(HubServer):
    """Datasets by name, each a list of states: commit and files."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.datasets: dict[str, list[tuple[str, dict[str, bytes]]]] = {}
        self.messages: list[str] = []
        self.forbidden: set[str] = set()

    def files(self, repo: str) -> dict[str, bytes]:
        return self.datasets[repo][-1][1]


def serve() -> contextlib.AbstractContextManager[UploadHub]:
    return serving(UploadHub())


class _Handler(HubHandler):
    server: UploadHub

    def do_GET(self) -> None:
        path = self.note()
        parts = path.removeprefix("/api").removeprefix("/datasets/").split("/")
        repo, route = "/".join(parts[:2]), parts[2:]
        if repo not in self.server.datasets:
            return self.answer(404, error="RepoNotFound")
        kind, revision = (route[0], route[1]) if len(route) > 1 else ("revision", "main")
        states = [state for state in self.server.datasets[repo] if revision in (state[0], "main")]
        if not states:
            return self.answer(404, error="RevisionNotFound")
        commit, files = states[-1]
        if kind == "revision":
            siblings = [{"rfilename": name, "size": len(data)} for name, data in files.items()]
            info = {"_id": "1", "id": repo, "sha": commit, "siblings": siblings, "tags": []}
            return self.answer(200, info)
        if kind == "tree":
            folder = "".join(f"{part}/" for part in route[2:])
            entries = _entries(files, folder, is_recursive="recursive=true" in self.path.lower())
            is_there = entries or not folder
            return self.answer(200, entries) if is_there else self.answer(404, error="EntryNotFound")
        name = "/".join(route[2:])
        if kind != "resolve" or name not in files:
            return self.answer(404, error="EntryNotFound")
        headers = {"ETag": f'"{git_blob_id(files[name])}"', "X-Repo-Commit": commit}
        return self.answer(200, files[name], headers)

    def do_POST(self) -> None:
        path = self.note()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if path == "/api/validate-yaml":
            content = json.loads(body)["content"]
            return self.answer(200 if content.startswith("---\n") else 400, {"errors": [], "warnings": []})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer(401)
        if path == "/api/repos/create":
            repository = json.loads(body)
            repo = f"{repository['organization']}/{repository['name']}"
            assert repository["type"] == "dataset"
            if repository["organization"] in self.server.forbidden:
                return self.answer(403)
            if repo in self.server.datasets:
                return self.answer(409, {"url": f"{self.server.url}/datasets/{repo}"})
            self.server.datasets[repo] = [("0" * 40, {})]
            return self.answer(200, {"url": f"{self.server.url}/datasets/{repo}"})
        repo = "/".join(path.removeprefix("/api/datasets/").split("/")[:2])
        states = self.server.datasets[repo]
        if path.endswith("/preupload/main"):
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                | ({"oid": git_blob_id(states[-1][1][file["path"]])} if file["path"] in states[-1][1] else {})
                for file in json.loads(body)["files"]
            ]
            return self.answer(200, {"files": files})
        if path.endswith("/paths-info/main"):
            paths = urllib.parse.parse_qs(body.decode())["paths"]
            entries = _entries(states[-1][1], "", is_recursive=True)
            return self.answer(200, [entry for entry in entries if entry["path"] in paths])
        assert path.endswith("/commit/main")
        files = dict(states[-1][1])
        for line in body.splitlines():
            operation = json.loads(line)
            if operation["key"] == "header":
                if operation["value"].get("parentCommit", states[-1][0]) != states[-1][0]:
                    return self.answer(412)
                self.server.messages.append(operation["value"]["summary"])
            elif operation["key"] == "deletedFile":
                del files[operation["value"]["path"]]
            else:
                assert operation["key"] == "file"
                files[operation["value"]["path"]] = base64.b64decode(operation["value"]["content"])
        commit = hashlib.sha1(body, usedforsecurity=False).hexdigest()
        states.append((commit, files))
        url = f"{self.server.url}/datasets/{repo}/commit/{commit}"
        return self.answer(200, {"success": True, "commitOid": commit, "commitUrl": url})


def _entries(files: dict[str, bytes], folder: str, *, is_recursive: bool) -> list[dict[str, object]]:
    """What lies in a folder, ``""`` for all of it; with all that is in its folders, or without."""
    entries: dict[str, dict[str, object]] = {}
    for name, data in files.items():
        if not name.startswith(folder):
            continue
        *parents, _ = name.removeprefix(folder).split("/")
        for depth in range(len(parents)):
            path = folder + "/".join(parents[: depth + 1])
            entries[path] = {"type": "directory", "path": path, "size": 0, "oid": git_blob_id(path.encode())}
        entries[name] = {"type": "file", "path": name, "size": len(data), "oid": git_blob_id(data)}
    return [entry for path, entry in entries.items() if is_recursive or "/" not in path.removeprefix(folder)]
