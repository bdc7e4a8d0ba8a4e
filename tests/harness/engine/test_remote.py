"""Weights by an address or a hub id: fetched once, held to a hash, license and hash said; else what a path is."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import save_file

from isrbench.harness.api.method import MethodInfo, MethodPlugin
from isrbench.harness.engine.remote import method_options
from isrbench.harness.errors import UserError
from isrbench.harness.files import file_hash
from tests.support.hub import serving


@dataclass(frozen=True)
class _Options:
    weights: Path = field(kw_only=True)
    adapter: Path | None = None
    steps: int = 1


_PLUGIN = MethodPlugin(MethodInfo("net", "Net", "A network.", "MIT"), _Options, lambda options, runtime: options)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        self.server.asked.append(self.path)  # type: ignore[attr-defined]


@pytest.fixture
def online(tmp_path: Path, monkeypatch) -> None:
    """The network is allowed; what is fetched lies below the test's own folder."""
    for switch in ("ISRBENCH_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(switch, "0")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@pytest.fixture
def www(tmp_path: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """A web server: (address, the folder that it serves, what was asked)."""
    folder = tmp_path / "www"
    folder.mkdir()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    server.asked = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", folder, server.asked  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


def _weights(path: Path, value: float = 1.0) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"a": torch.full((4,), value)}, path)
    return file_hash(path)


def test_an_address_is_fetched_once_and_its_hash_is_said(online, www, caplog) -> None:
    address, folder, asked = www
    digest = _weights(folder / "a net.safetensors")
    url = f"{address}/a%20net.safetensors"
    with caplog.at_level("INFO", logger="isrbench.steps"):
        first, again = (method_options(_PLUGIN, {"weights": word}) for word in (url, f"{url}#sha256={digest}"))
    assert first == again and first.weights.name == "a net.safetensors" and file_hash(first.weights) == digest
    assert asked == ["/a%20net.safetensors"] and "license not said" in caplog.text and digest in caplog.text
    assert not list(first.weights.parent.glob(".*")), "no half of a file is left"


def test_what_an_address_gives_is_checked(online, www, monkeypatch) -> None:
    address, folder, _ = www
    _weights(folder / "net.safetensors")
    (folder / "page.pth").write_text("<!DOCTYPE html><html>sign in</html>")
    for word, said in (
        (f"{address}/net.safetensors#sha256={'0' * 64}", "has sha256"),
        (f"{address}/net.safetensors#md5=0", "is no hash"),
        (f"{address}/page.pth", "gave no weights: it is a web page"),
        (f"{address}/gone.pth", "could not be fetched: HTTP Error 404"),
        (f"{address}/", "names no file"),
    ):
        with pytest.raises(UserError, match=said) as refused:
            method_options(_PLUGIN, {"weights": word})
        assert refused.value.fix
    monkeypatch.setenv("ISRBENCH_OFFLINE", "1")
    with pytest.raises(UserError, match="ISRBENCH_OFFLINE is set"):
        method_options(_PLUGIN, {"weights": f"{address}/other.pth"})
    assert method_options(_PLUGIN, {"weights": f"{address}/net.safetensors"}).weights.is_file(), "it is here"


def test_a_hub_id_with_its_license_and_the_cache_without_a_network(online, tmp_path: Path, monkeypatch, caplog) -> None:
    digest = _weights(tmp_path / "hub/me/mor/adapter.safetensors")
    (tmp_path / "hub/me/mor/README.md").write_text("---\nlicense: apache-2.0\n---\n")
    _weights(tmp_path / "hub/me/two/a.pth"), _weights(tmp_path / "hub/me/two/b.pth", 2.0)
    with serving(tmp_path / "hub") as (address, _), caplog.at_level("INFO", logger="isrbench.steps"):
        monkeypatch.setenv("HF_ENDPOINT", address)
        options = method_options(_PLUGIN, {"weights": "me/two:b.pth", "adapter": "me/mor"})
        assert options.adapter.name == "adapter.safetensors" and file_hash(options.adapter) == digest
        assert options.weights.name == "b.pth"
        for word, said in (
            ("me/two", "several weight files: a.pth, b.pth"),
            ("me/two:c.pth", "does not give c.pth"),
            ("me/nothing", "cannot be read"),
        ):
            with pytest.raises(UserError, match=said):
                method_options(_PLUGIN, {"weights": word})
    assert f"adapter: {address}/me/mor:adapter.safetensors (" in caplog.text
    assert f"sha256 {digest}), license apache-2.0" in caplog.text
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert method_options(_PLUGIN, {"weights": "me/mor"}).weights == options.adapter
    with pytest.raises(UserError, match="me/new is not on this machine, and HF_HUB_OFFLINE is set"):
        method_options(_PLUGIN, {"weights": "me/new"})


def test_paths_stay_paths_and_other_mistakes_come_first(online, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    _weights(tmp_path / "ours/net")
    for word in ("ours/net", "ours/absent.pth", "a/b/c", "net.pth", "~/net.pth"):
        assert method_options(_PLUGIN, {"weights": word}).weights == Path(word).expanduser()
    with pytest.raises(UserError, match="unknown option 'stepz'"):
        method_options(_PLUGIN, {"weights": "http://127.0.0.1:9/net.pth", "stepz": "2"})
