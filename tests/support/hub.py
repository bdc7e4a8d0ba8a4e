"""A stand-in for the Hugging Face hub: serves the files below a folder, with the hashes that the hub gives."""

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

COMMIT = "5" * 40


def etag(file: Path) -> str:
    """The hub's hash of a file: sha256 of large ones (here all weights), git's of others."""
    content = file.read_bytes()
    if file.suffix in (".safetensors", ".bin"):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Hub(http.server.BaseHTTPRequestHandler):
    folder: Path
    asked: list[str]

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def log_message(self, format, *args):
        self.asked.append(f"{self.command} {self.path}")

    def _answer(self, body):
        parts = urlsplit(self.path).path.strip("/").split("/")
        if parts == [""]:
            return self._send(b"", {}, body)
        model = parts[:2] != ["api", "models"]
        repository = self.folder.joinpath(*(parts[:2] if model else parts[2:4]))
        if not repository.is_dir():
            return self._refuse("RepoNotFound")
        if model:
            file = repository.joinpath(*parts[4:])
            if not file.is_file():
                return self._refuse("EntryNotFound")
            return self._send(file.read_bytes(), {"ETag": f'"{etag(file)}"', "X-Repo-Commit": COMMIT}, body)
        files = [path for path in sorted(repository.rglob("*")) if path.is_file()]
        names = {path.relative_to(repository).as_posix(): path for path in files}
        told = {"id": repository.name, "sha": COMMIT, "siblings": [{"rfilename": name} for name in names]}
        card = names["README.md"].read_text() if "README.md" in names else ""
        told["tags"] = [line.replace(": ", ":") for line in card.splitlines() if line.startswith("license: ")]
        tree = [
            {"type": "file", "path": n, "size": p.stat().st_size, "oid": etag(p)[:40]}
            | ({"lfs": {"oid": etag(p), "size": p.stat().st_size, "pointerSize": 1}} if len(etag(p)) == 64 else {})
            for n, p in names.items()
        ]
        return self._send(json.dumps(tree if "tree" in parts else told).encode(), {}, body)

    def _send(self, content, headers, body):
        self.send_response(200)
        for name, value in {"Content-Length": str(len(content)), "Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def _refuse(self, code):
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve OWNER/NAME/... below a folder; yields (address, what was asked)."""
    asked: list[str] = []
    handler = type("Hub", (_Hub,), {"folder": folder, "asked": asked})
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{running.server_port}", asked
    finally:
        running.shutdown()
        running.server_close()
