"""A user's own model card: `--method mine.toml`, from every verb and from Python."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

import isrbench as api
from isrbench.harness.api.method import Runtime
from isrbench.harness.api.registry import methods
from isrbench.harness.errors import UserError
from isrbench.harness.files import file_hash
from isrbench.harness.imaging.images import to_tensor
from isrbench.harness.network import OFFLINE_SWITCHES
from isrbench.methods.spandrel.options import NetworkOptions
from isrbench.methods.zoo.plugins import DenoiseOptions
from tests.support.cli import isrbench
from tests.support.images import noise_image
from tests.support.ncnn_files import compact

CARD = """id = "mine"
title = "My network"
summary = "A network of my own."
architecture = "Compact"
scale = 4
license = "CC0-1.0"
citation = "@misc{mine, title={My network}}"
training_data = ["DIV2K"]
"""


def network(path: Path, seed: int = 0, width: int = 6) -> dict[str, torch.Tensor]:
    """Write a small network to a file, and return its weights."""
    from spandrel.architectures.Compact import Compact

    torch.manual_seed(seed)
    state = Compact(num_in_ch=3, num_out_ch=3, num_feat=width, num_conv=3, upscale=4).state_dict()
    path.parent.mkdir(exist_ok=True)
    torch.save({"params": state}, path)
    return state


def write_card(folder: Path, *files: Path, more: str = "", table: str = "file") -> Path:
    """Write a card over files that lie beside it; over addresses with ``table="download"``."""
    card = folder / "mine.toml"
    where = [f'path = "{f.name}"' if table == "file" else f'url = "{f.as_uri()}"' for f in files]
    tables = [f'[[{table}]]\n{w}\nsha256 = "{file_hash(f)}"\n' for w, f in zip(where, files, strict=True)]
    card.write_text("\n".join([CARD + more, *tables]))
    return card


@pytest.fixture
def own(tmp_path) -> Path:
    network(tmp_path / "net.pth")
    return write_card(tmp_path, tmp_path / "net.pth")


def restored(card: Path, options: NetworkOptions | None = None) -> torch.Tensor:
    method = methods().get(str(card)).make(options or NetworkOptions(), Runtime(4))
    return method.restore(to_tensor(noise_image(9, 11)), image="a", seed=0).image


def test_every_verb_takes_a_card(own, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir("/")  # paths in a card are relative to the card
    runs = tmp_path / "runs"
    asked = ("--method", own, "--dataset", "sample", "--limit", "1", "--metrics", "psnr", "--no-report")
    code, out, err = isrbench(capsys, "eval", *asked, "--runs-dir", runs)
    assert code == 0 and "My network on sample" in out, err
    (run,) = api.load_runs(runs)
    assert run.manifest.method == "mine" and run.manifest.citation.startswith("@misc{mine")
    code, out, _ = isrbench(capsys, "describe", "method", own)
    assert code == 0 and "My network" in out and "CC0-1.0" in out and "overlap" in out
    code, out, _ = isrbench(capsys, "fetch", "weights", "--method", own)
    assert code == 0 and "nothing to fetch" in out
    photo = tmp_path / "photo.png"
    Image.fromarray(noise_image(8, 8)).save(photo)
    code, _, err = isrbench(capsys, "restore", photo, tmp_path / "large.png", "--method", own)
    assert code == 0 and (tmp_path / "large.png").is_file(), err
    assert "mine" not in methods()


def test_the_weights_decide_the_identity_not_the_words(own, tmp_path):
    asked = {"dataset": "sample", "limit": 1, "metrics": "psnr", "runs_dir": tmp_path / "runs", "complexity": False}
    assert api.evaluate(str(own), **asked).computed
    own.write_text(own.read_text().replace("A network of my own.", "Another sentence."))
    assert not api.evaluate(str(own), **asked).computed
    network(tmp_path / "net.pth", seed=1)
    write_card(tmp_path, tmp_path / "net.pth")
    assert api.evaluate(str(own), **asked).computed


def test_an_id_that_is_taken_is_refused(own, capsys):
    own.write_text(own.read_text().replace('id = "mine"', 'id = "Bicubic"'))
    code, _, err = isrbench(capsys, "eval", "--method", own, "--dataset", "sample")
    assert code == 2 and "takes the id of a method that is installed, bicubic" in err and 'id = "Bicubic-mine"' in err


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"Compact"', '"Compat"', "unknown architecture 'Compat'; did you mean 'Compact'"),
        ('"Compact"', '"SwinIR"', "says SwinIR, but its weights are a network of Compact"),
        ("net.pth", "net2.pth", "net2.pth does not exist"),
        ('sha256 = "', 'sha256 = "0000', "not one of 64 hexadecimal digits"),
        ("scale = 4", "scale = 2", "mine enlarges x2, but the dataset asks for x4"),
        ("scale = 4", "scale = 4 4", "is not valid TOML"),
        ("[[file]]", "[[download]]", "url is missing"),
        ("net.pth", "net.param", "net.param is a graph alone: list net.bin with its sha256 as well"),
        ("net.pth", "net.bin", "the only file is a .bin"),
        ("net.pth", "~nobody-of-this-name/net.pth", "~nobody-of-this-name/net.pth cannot be found: "),
    ],
)
def test_what_is_wrong_with_a_card_is_one_line(old, new, words, own, capsys):
    own.write_text(own.read_text().replace(old, new))
    code, _, err = isrbench(capsys, "eval", "--method", own, "--dataset", "sample")
    assert code == 2 and words in " ".join(err.split()) and "Traceback" not in err


def test_files_that_are_not_what_the_card_means(own, tmp_path, capsys):
    network(tmp_path / "net.pth", seed=1)
    code, _, err = isrbench(capsys, "eval", "--method", own, "--dataset", "sample")
    assert code == 2 and f"has sha256 {file_hash(tmp_path / 'net.pth')}" in " ".join(err.split())
    code, _, err = isrbench(capsys, "eval", "--method", tmp_path / "absent.toml", "--dataset", "sample")
    assert code == 2 and "absent.toml does not exist" in " ".join(err.split())


def test_both_files_of_a_graph_are_checked(tmp_path, capsys):
    param, _ = compact(tmp_path / "net.param")
    other, _ = compact(tmp_path / "other.param")
    card = write_card(tmp_path, param, param.with_suffix(".bin"))
    alone = restored(card)
    assert alone.std() > 0.01
    pair = (param, param.with_suffix(".bin"), other, other.with_suffix(".bin"))
    card = write_card(tmp_path, *pair, more="denoise = true\n")
    assert torch.equal(restored(card, DenoiseOptions()), alone)
    assert restored(card, DenoiseOptions(denoise=0.5)).std() > 0.01
    param.with_suffix(".bin").write_bytes(other.with_suffix(".bin").read_bytes()[:-4] + b"\0\0\0\0")
    code, _, err = isrbench(capsys, "eval", "--method", card, "--dataset", "sample")
    assert code == 2 and "net.bin has sha256" in " ".join(err.split())


@pytest.mark.parametrize("name", ["os.path", "__main__", "../os", "a-b"])
def test_a_package_is_named_plainly(own, name):
    where = f'[package]\nname = "{name}"\ndistribution = "x"\n[package.files]\n"net.pth" = "{"0" * 64}"\n'
    own.write_text(CARD + where)
    with pytest.raises(UserError, match=f"'{name}' is not the name of a package"):
        methods().get(str(own))


def test_a_card_with_an_address_is_fetched_by_its_path(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for switch in OFFLINE_SWITCHES:
        monkeypatch.delenv(switch, raising=False)
    network(tmp_path / "www" / "net.pth")
    card = write_card(tmp_path, tmp_path / "www" / "net.pth", table="download")
    code, _, err = isrbench(capsys, "eval", "--method", card, "--dataset", "sample")
    assert code == 2 and f"isrbench fetch weights --method {card}" in err
    code, out, err = isrbench(capsys, "fetch", "weights", "--method", card)
    assert code == 0 and "license: CC0-1.0" in out, err
    assert (tmp_path / "torch" / "hub" / "isrbench" / "mine" / "net.pth").is_file()
    assert restored(card).std() > 0.01


def test_denoise_mixes_two_networks_tensor_by_tensor(tmp_path):
    """Against a mixture made by hand, as the authors' script makes it: strength * general + (1 - strength) * wdn."""
    general, wdn = (network(tmp_path / f"{name}.pth", seed) for seed, name in enumerate(("general", "wdn")))
    torch.save({n: 0.25 * general[n] + 0.75 * wdn[n] for n in general}, tmp_path / "mixed.pth")
    alone = restored(write_card(tmp_path, tmp_path / "general.pth"))
    none = restored(write_card(tmp_path, tmp_path / "wdn.pth"))
    mixed = restored(write_card(tmp_path, tmp_path / "mixed.pth"))
    card = write_card(tmp_path, tmp_path / "general.pth", tmp_path / "wdn.pth", more="denoise = true\n")
    assert torch.equal(restored(card, DenoiseOptions()), alone)
    assert torch.equal(restored(card, DenoiseOptions(denoise=0.0)), none)
    assert torch.equal(restored(card, DenoiseOptions(denoise=0.25)), mixed)
    assert not torch.equal(mixed, alone) and not torch.equal(mixed, none)
    plugin = methods().get(str(card))
    hashes = {plugin.make(DenoiseOptions(denoise=share), Runtime(4)).weights_hash for share in (1.0, 0.5)}
    assert len(hashes) == 2 and file_hash(tmp_path / "general.pth") in hashes
    network(tmp_path / "wdn.pth", width=8)
    write_card(tmp_path, tmp_path / "general.pth", tmp_path / "wdn.pth", more="denoise = true\n")
    with pytest.raises(UserError, match=r"are not two of one network: params\.body\.0\.weight is of another shape"):
        restored(card, DenoiseOptions(denoise=0.5))
    with pytest.raises(UserError, match="has to lie in 0 to 1"):
        DenoiseOptions(denoise=1.5)
