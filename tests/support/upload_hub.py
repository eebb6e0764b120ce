"""A small hub on this machine that takes datasets: as much of the real one's API as its client needs.

Files come inside of the commit, as the real hub takes small ones; its storage for large files is not here.
"""

import base64
import contextlib
import hashlib
import json

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
            entries = [
                {"type": "file", "path": name, "size": len(data), "oid": git_blob_id(data)}
                for name, data in files.items()
            ]
            return self.answer(200, entries)
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
        assert path.endswith("/commit/main")
        files = dict(states[-1][1])
        for line in body.splitlines():
            operation = json.loads(line)
            if operation["key"] == "header":
                if operation["value"].get("parentCommit", states[-1][0]) != states[-1][0]:
                    return self.answer(412)
                self.server.messages.append(operation["value"]["summary"])
            else:
                assert operation["key"] == "file"
                files[operation["value"]["path"]] = base64.b64decode(operation["value"]["content"])
        commit = hashlib.sha1(body, usedforsecurity=False).hexdigest()
        states.append((commit, files))
        url = f"{self.server.url}/datasets/{repo}/commit/{commit}"
        return self.answer(200, {"success": True, "commitOid": commit, "commitUrl": url})
