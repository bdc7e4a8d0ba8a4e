"""A download ends, whatever the server does."""

from __future__ import annotations

import hashlib
import http.server
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from isrbench.harness import network as module
from isrbench.harness.network import arrive, transfer


@pytest.fixture
def serve() -> Iterator[Callable]:
    """A function that starts a server which answers by the function given, and returns its address."""
    running = []

    def start(answer: Callable[[http.server.BaseHTTPRequestHandler], None]) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                try:
                    answer(self)
                except (BrokenPipeError, ConnectionResetError):
                    return

            def log_message(self, format: str, *args: object) -> None:
                return

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        running.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/net.pth"

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch) -> None:
    monkeypatch.setattr(module, "STALL_SECONDS", 0.3)


def head(handler, length=None, status=200):
    handler.send_response(status)
    if length is not None:
        handler.send_header("Content-Length", str(length))
    handler.end_headers()


def endless(handler, length=None):
    head(handler, length)
    while True:
        handler.wfile.write(bytes(1 << 16))


def drips(handler):
    head(handler, 10**6)
    while True:
        handler.wfile.write(b"x")
        time.sleep(0.02)


def drips_its_head(handler):
    while True:
        handler.wfile.write(b"H")
        handler.wfile.flush()
        time.sleep(0.02)


def stands_still(handler):
    head(handler, 1000)
    handler.wfile.write(b"x" * 10)
    time.sleep(2)


def ends_early(handler):
    head(handler, 1000)
    handler.wfile.write(b"x" * 10)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (drips, r"too slow: \d+ bytes in \d s \(at least 10 kB a second\)"),
        (drips_its_head, r"no answer within 0\.3 s"),
        (stands_still, r"it stood still for 0\.3 s"),
        (ends_early, "it ended after 10 bytes of 1 kB"),
        (endless, "the server does not end after 200 kB"),
        (lambda handler: head(handler, 10**9), "the server announces 1 GB, and 200 kB are known"),
        (lambda handler: head(handler, status=404), "404"),
    ],
)
def test_a_server_that_does_not_give_the_file(answer, said, serve, tmp_path):
    start = time.monotonic()
    with pytest.raises(OSError, match=said):
        transfer(serve(answer), tmp_path / "net.pth", lambda done, total: None, size=200_000 if "200 kB" in said else 0)
    assert time.monotonic() - start < 5
    assert not (tmp_path / "net.pth").exists() or (tmp_path / "net.pth").stat().st_size <= 200_000


@pytest.mark.parametrize("grows", [0, 1])
def test_the_download_of_a_library_that_drips(grows, tmp_path):
    (tmp_path / "old").write_bytes(bytes(10**6))
    stop = threading.Event()

    def work() -> None:
        with (tmp_path / "new.incomplete").open("wb", buffering=0) as file:
            while not stop.wait(0.02):
                file.write(b"x" * grows)

    with pytest.raises(OSError, match=r"too slow: \d+ bytes in \d s"):
        arrive(tmp_path, work)
    stop.set()


def test_the_download_of_a_library_that_is_fast_or_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LEAST_RATE", 100)
    (tmp_path / "begun").write_bytes(bytes(10**6))

    def work() -> str:
        (tmp_path / "begun").unlink()
        with (tmp_path / "new").open("wb", buffering=0) as file:
            for _ in range(40):
                file.write(bytes(100))
                time.sleep(0.02)
        return "here"

    assert arrive(tmp_path, work) == "here" and arrive(tmp_path / "absent", lambda: 1) == 1
    with pytest.raises(KeyError):
        arrive(tmp_path, lambda: {}["a"])
    monkeypatch.setattr(module, "TOTAL_SECONDS", 0.1)
    with pytest.raises(OSError, match=r"it did not (arrive|end) within"):
        arrive(tmp_path, lambda: time.sleep(0.4))


def test_a_file_without_any_known_size_is_bounded_too(serve, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGEST", 10**6)
    with pytest.raises(OSError, match="the server does not end after 1 MB"):
        transfer(serve(endless), tmp_path / "net.pth", lambda done, total: None)
    monkeypatch.setattr(module, "LARGEST", 10**12)
    monkeypatch.setattr(module, "TOTAL_SECONDS", 0.5)
    with pytest.raises(OSError, match="it did not end within"):
        transfer(serve(endless), tmp_path / "net.pth", lambda done, total: None)


def test_a_length_that_is_no_number_says_nothing(serve, tmp_path):
    def answer(handler):
        head(handler, "plenty")
        handler.wfile.write(b"abc")

    assert transfer(serve(answer), tmp_path / "net.pth", lambda done, total: None)
    assert (tmp_path / "net.pth").read_bytes() == b"abc"


def test_a_whole_file_arrives_with_its_hash(serve, tmp_path):
    content, told = bytes(range(256)) * 8000, []

    def answer(handler):
        head(handler, len(content))
        handler.wfile.write(content)

    found = transfer(serve(answer), tmp_path / "net.pth", lambda *done: told.append(done), size=len(content))
    assert (tmp_path / "net.pth").read_bytes() == content and found == hashlib.sha256(content).hexdigest()
    assert told[-1] == (len(content), len(content))
