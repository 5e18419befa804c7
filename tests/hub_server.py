"""A server of the hub's form, on this machine, that the real huggingface_hub client talks to. Not a test file."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlparse

TOKEN = "hf_" + "a" * 34
_REPO = r"(?P<repo>[\w.-]+/[\w.-]+)"


@dataclass
class Hub:
    """What the server holds."""

    address: str = ""
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    stored: dict[str, bytes] = field(default_factory=dict)
    """Large files by their SHA-256."""
    commits: int = 0
    requests: list[str] = field(default_factory=list)

    def sha(self) -> str:
        return f"{self.commits:040x}"


@contextmanager
def serving() -> Iterator[Hub]:
    """The server runs inside the block."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    """One request. Writing needs `TOKEN`; organisations named `locked` may not be written to."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body, path = self._body(), self._path()
        if not self._known():
            self._json({"error": "Invalid credentials"}, 401)
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif found := re.fullmatch(rf"/api/models/{_REPO}/preupload/main", path):
            self._json({"files": [_mode(f) for f in json.loads(body)["files"]]})
        elif found := re.fullmatch(rf"/{_REPO}\.git/info/lfs/objects/batch", path):
            self._json({"transfer": "basic", "objects": [self._place(o) for o in json.loads(body)["objects"]]})
        elif found := re.fullmatch(rf"/api/models/{_REPO}/commit/main", path):
            self._commit(found["repo"], [json.loads(line) for line in body.splitlines() if line])
        else:
            self._missing()

    def do_PUT(self) -> None:
        body, oid = self._body(), self._path().rsplit("/", 1)[1]
        assert hashlib.sha256(body).hexdigest() == oid
        self.hub.stored[oid] = body
        self._json({})

    def do_GET(self) -> None:
        self._body()
        self._get(with_content=True)

    def do_HEAD(self) -> None:
        self._get(with_content=False)

    def _get(self, with_content: bool) -> None:
        path = self._path()
        found = re.fullmatch(rf"/api/models/{_REPO}(?:/(?P<what>revision|tree)/(?P<revision>\w+).*)?", path)
        resolved = re.fullmatch(rf"/{_REPO}/resolve/(?P<revision>\w+)/(?P<file>.+)", path)
        match = found or resolved
        files = self.hub.repositories.get(match["repo"]) if match else None
        if match is None or files is None or (match["repo"] in self.hub.private and not self._known()):
            self._missing()
        elif resolved is not None:
            self._file(files.get(resolved["file"]), with_content)
        elif found is not None and found["what"] == "tree":
            self._json([{"type": "file", "path": p, "size": len(c), "oid": _git(c)} for p, c in files.items()])
        else:
            siblings = [{"rfilename": name} for name in files]
            self._json({"id": match["repo"], "sha": self.hub.sha(), "private": False, "siblings": siblings, "tags": [],
                        "downloads": 0, "likes": 0})  # fmt: skip

    def _create(self, asked: dict[str, Any]) -> None:
        repo = f"{asked.get('organization') or 'me'}/{asked['name']}"
        if repo.startswith("locked/"):
            self._json({"error": "You don't have the rights"}, 403)
            return
        there = repo in self.hub.repositories
        self.hub.repositories.setdefault(repo, {})
        if asked.get("private") or asked.get("visibility") == "private":
            self.hub.private.add(repo)
        self._json({"url": f"{self.hub.address}/{repo}", "id": repo, "name": repo}, 409 if there else 200)

    def _place(self, thing: dict[str, Any]) -> dict[str, Any]:
        action = {"upload": {"href": f"{self.hub.address}/store/{thing['oid']}", "header": {}}}
        return {**thing, **({} if thing["oid"] in self.hub.stored else {"actions": action})}

    def _commit(self, repo: str, lines: list[dict[str, Any]]) -> None:
        files = self.hub.repositories[repo]
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.stored[value["oid"]]
        self.hub.commits += 1
        address = f"{self.hub.address}/{repo}/commit/{self.hub.sha()}"
        self._json({"success": True, "commitOid": self.hub.sha(), "commitUrl": address, "hookOutput": ""})

    def _file(self, content: bytes | None, with_content: bool) -> None:
        if content is None:
            self._missing("EntryNotFound")
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", self.hub.sha())
        self.end_headers()
        if with_content:
            self.wfile.write(content)

    def _missing(self, code: str = "RepoNotFound") -> None:
        self._json({"error": "Not found"}, 404, {"X-Error-Code": code, "X-Error-Message": "Not found"})

    def _json(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {**(headers or {}), "Content-Type": "application/json"}.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _path(self) -> str:
        path = unquote(urlparse(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        return path

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)


def _mode(file: dict[str, Any]) -> dict[str, Any]:
    large = file["path"].endswith((".safetensors", ".png"))
    return {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}


def _git(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
