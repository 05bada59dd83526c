"""A stand-in for the Hugging Face Hub on this machine: repositories in memory, and what was asked of them."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

TOKEN = "hf_planted_token_0123456789"


@dataclass
class Repository:
    private: bool = True
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def commit(self) -> str:
        content = json.dumps({name: hashlib.sha1(data).hexdigest() for name, data in sorted(self.files.items())})
        return hashlib.sha1(content.encode()).hexdigest()


@dataclass
class Hub:
    address: str
    repositories: dict[str, Repository] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    failing: str = ""  # a part of paths that are refused

    def holds(self, name: str, folder: Path) -> Repository:
        """Take over a folder as a repository."""
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        self.repositories[name] = Repository(False, files)
        return self.repositories[name]


def is_private(wanted: dict[str, object]) -> bool:
    """Tell whether a request asks for a private repository, as earlier and later versions of the library say it."""
    return wanted.get("private") is True or wanted.get("visibility") == "private"


class Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *_: object) -> None:
        pass

    def _send(self, content: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _handle(self) -> None:
        path, body = unquote(urlparse(self.path).path), self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.asked.append(f"{self.command} {path}")
        self.hub.tokens.add(self.headers.get("Authorization", ""))
        if self.hub.failing and self.hub.failing in path:
            self._send({"error": "planted failure"}, 403)
        elif path == "/api/repos/create":
            wanted = json.loads(body)
            name = f"{wanted['organization']}/{wanted['name']}" if wanted.get("organization") else wanted["name"]
            there = name in self.hub.repositories
            self.hub.repositories.setdefault(name, Repository(is_private(wanted)))
            self._send({"url": f"{self.hub.address}/{name}"}, 409 if there else 200)
        elif path == "/api/validate-yaml":
            self._send({"errors": [], "warnings": []})
        elif path.startswith("/api/models/"):
            self._model("/".join(path.split("/")[3:5]), path.split("/")[5:], body)
        elif "/resolve/" in path:
            self._resolve(path)
        else:
            self._send({"error": f"unknown: {path}"}, 404)

    do_GET = do_POST = do_PUT = do_HEAD = _handle  # noqa: N815

    def _model(self, name: str, rest: list[str], body: bytes) -> None:
        repository = self.hub.repositories.get(name)
        if repository is None:
            self._send({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
            return
        match rest[:1]:
            case ["preupload"]:
                files = [
                    {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for one in json.loads(body)["files"]
                ]
                self._send({"files": files})
            case ["commit"]:
                for line in map(json.loads, body.splitlines()):
                    if line["key"] == "file":
                        repository.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                    elif line["key"] == "deletedFile":
                        del repository.files[line["value"]["path"]]
                self._send(
                    {
                        "commitUrl": f"{self.hub.address}/{name}/commit/{repository.commit}",
                        "commitOid": repository.commit,
                    }
                )
            case ["tree"]:
                files = [
                    {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                    for path, data in repository.files.items()
                ]
                self._send(files)
            case ["settings"]:
                repository.private = is_private(json.loads(body))
                self._send({})
            case _:
                siblings = [{"rfilename": path} for path in repository.files]
                self._send({"id": name, "private": repository.private, "sha": repository.commit, "siblings": siblings})

    def _resolve(self, path: str) -> None:
        name, _, rest = path.strip("/").partition("/resolve/")
        revision, _, file = rest.partition("/")
        repository = self.hub.repositories.get(name)
        if repository is None or revision not in ("main", "v1", repository.commit):
            self._send(
                {"error": "not found"}, 404, {"X-Error-Code": "RevisionNotFound" if repository else "RepoNotFound"}
            )
        elif file not in repository.files:
            self._send(
                {"error": "not found"}, 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": repository.commit}
            )
        else:
            data = repository.files[file]
            tag = hashlib.sha1(data).hexdigest()
            self._send(data, headers={"ETag": f'"{tag}"', "X-Repo-Commit": repository.commit})

    do_DELETE = _handle  # noqa: N815


@contextmanager
def running_hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Run the stand-in; the hub's library asks it, and keeps what it downloads in `cache`."""
    constants = pytest.importorskip("huggingface_hub.constants", reason="the extra `hub` is not installed")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address = f"http://127.0.0.1:{server.server_port}"
    Handler.hub = Hub(address)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "token"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Handler.hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
