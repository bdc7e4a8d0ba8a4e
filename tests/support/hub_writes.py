"""A stand-in for the part of the Hugging Face hub that takes files: repositories, small files, LFS, commits."""

import base64
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Received:
    """What the hub was asked for."""

    address: str = ""
    created: dict[str, dict] = field(default_factory=dict)
    """By ``kinds/USER/NAME``: the body of the request."""
    commits: list[tuple[str, list[str]]] = field(default_factory=list)
    """(repository, names), in order."""
    tokens: set[str | None] = field(default_factory=set)


class _Hub(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: Path
    received: Received
    token: str

    def log_message(self, format, *args):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts[0] == "api":
            repository = "/".join(parts[1:4])
            there = repository in self.received.created
            return self._send({"id": "/".join(parts[2:4]), "sha": "5" * 40, "siblings": []} if there else None)
        at = 1 if parts[0] in ("datasets", "spaces") else 0
        kind = parts[0] if at else "models"
        file = self.folder.joinpath(kind, *parts[at : at + 2], *parts[at + 4 :])
        return self._send(file.read_bytes() if file.is_file() else None)

    def do_PUT(self):
        (self.folder / "lfs").mkdir(parents=True, exist_ok=True)
        (self.folder / "lfs" / self.path.rpartition("/")[2]).write_bytes(self._body())
        self._send({})

    def do_POST(self):
        body, parts = self._body(), self.path.partition("?")[0].strip("/").split("/")
        self.received.tokens.add(self.headers.get("Authorization"))
        if self.headers.get("Authorization") != f"Bearer {self.token}":
            return self._send({"error": "Invalid credentials"}, 401)
        if parts[1:] == ["validate-yaml"]:
            return self._send({"errors": [], "warnings": []})
        if parts[1:] == ["repos", "create"]:
            told = json.loads(body)
            name = f"{told.get('type') or 'model'}s/{told.get('organization') or 'me'}/{told['name']}"
            code = 409 if name in self.received.created else 200
            private = told.get("private", told.get("visibility") == "private")  # by the client's release
            self.received.created.setdefault(name, {**told, "private": private})
            return self._send({"url": f"{self.received.address}/{name.removeprefix('models/')}"}, code)
        if "preupload" in parts:
            files = json.loads(body)["files"]
            mode = {True: "lfs", False: "regular"}
            return self._send({"files": [
                {"path": f["path"], "uploadMode": mode[f["path"].endswith((".safetensors", ".parquet"))],
                 "shouldIgnore": False} for f in files
            ]})  # fmt: skip
        if parts[-2:] == ["objects", "batch"]:
            found = json.loads(body)["objects"]
            place = f"{self.received.address}/lfs"
            return self._send({"transfer": "basic", "objects": [
                {**o, "actions": {"upload": {"href": f"{place}/{o['oid']}", "header": {}}}} for o in found
            ]}, kind="application/vnd.git-lfs+json")  # fmt: skip
        if "commit" in parts:
            return self._commit("/".join(parts[1:4]), body)
        return self._send(None)

    def _commit(self, repository, body):
        names = []
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                continue
            target = self.folder / repository / value["path"]
            target.parent.mkdir(parents=True, exist_ok=True)
            if line["key"] == "lfsFile":
                target.write_bytes((self.folder / "lfs" / value["oid"]).read_bytes())
            else:
                target.write_bytes(base64.b64decode(value["content"]))
            names.append(value["path"])
        self.received.commits.append((repository, names))
        url = f"{self.received.address}/{repository}/commit/{'6' * 40}"
        return self._send({"commitUrl": url, "commitOid": "6" * 40, "success": True})

    def _body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, content, code=200, kind="application/json"):
        known = content is not None
        data = content if isinstance(content, bytes) else json.dumps(content if known else {}).encode()
        self.send_response(code if known else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Repo-Commit", "5" * 40)
        self.send_header("ETag", '"e"')
        if not known:
            self.send_header("X-Error-Code", "EntryNotFound" if "resolve" in self.path else "RepoNotFound")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@contextmanager
def taking(folder: Path, token: str) -> Iterator[Received]:
    """Take what is pushed with ``token`` into ``folder/KINDS/USER/NAME``; everybody may read it there."""
    received = Received()
    handler = type("Hub", (_Hub,), {"folder": folder, "received": received, "token": token})
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    received.address = f"http://127.0.0.1:{running.server_port}"
    threading.Thread(target=running.serve_forever, daemon=True).start()
    try:
        yield received
    finally:
        running.shutdown()
        running.server_close()
