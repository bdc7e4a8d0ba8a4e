"""Lists and descriptions of methods, metrics and data sets: what is broken is listed beside what works."""

from __future__ import annotations

from pathlib import Path

import pytest

from isrbench.harness.data.catalogue import find_card
from isrbench.harness.data.pairs import content_hash, load_pairs
from isrbench.harness.engine.listing import description, listing
from isrbench.harness.errors import UserError
from tests.support.cards import write_card
from tests.support.packages import install


def test_a_broken_method_is_listed_as_broken_among_the_others(site: Path, tmp_path: Path) -> None:
    install(
        site, "acme", {"isrbench.methods": {"alpha": "bad_plugin:PLUGIN"}}, bad_plugin="raise RuntimeError('no driver')"
    )
    columns, rows = listing("methods", tmp_path)
    broken = next(row for row in rows if row[0] == "alpha")
    assert broken[1] == "(broken)" and "RuntimeError: no driver" in broken[3]
    assert next(row for row in rows if row[0] == "bicubic")[1] == "Bicubic" and len(columns) == 4
    assert description("method", "bicubic")[0]["title"] == "Bicubic"
    with pytest.raises(UserError, match="RuntimeError: no driver"):
        description("method", "alpha")


def test_a_broken_metric_is_listed_as_broken_among_the_others(site: Path, tmp_path: Path) -> None:
    install(site, "acme", {"isrbench.metrics": {"zeta": "no_such_module_anywhere:METRIC"}})
    columns, rows = listing("metrics", tmp_path)
    assert columns == ("id", "title", "better", "reference", "default", "weights")
    assert ("psnr", "PSNR", "higher", "full", "yes", "ready") in rows
    assert rows[-1][:2] == ("zeta", "(broken)") and "no_such_module_anywhere" in rows[-1][5]


def test_a_metric_without_weights_names_the_command_that_fetches_them(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    columns, rows = listing("metrics", tmp_path)
    assert any(row[-1] == "isrbench fetch weights --metric maniqa-pipal" for row in rows)
    assert all(columns)


def test_a_metric_whose_file_is_not_the_published_one_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("LPIPS_v0.1_alex-df73285e.pth", "liqe_koniq.pt"):
        (tmp_path / "hub" / "pyiqa").mkdir(parents=True, exist_ok=True)
        (tmp_path / "hub" / "pyiqa" / name).write_bytes(b"\x80\x02}.")
    states = {row[0]: row[-1] for row in listing("metrics", tmp_path)[1]}
    assert states["lpips"] == "not the published file: isrbench fetch weights --metric lpips"
    assert states["liqe"] == "ready (no published hash)" and states["psnr"] == "ready"
    facts, _ = description("metric", "lpips")
    head, backbone = (value for name, value in facts.items() if name.startswith("weights "))
    assert "(not the published file)" in head and "(missing)" in backbone


def test_describing_a_set_gives_the_content_hash_of_what_lies_here(pairs_folder: Path, tmp_path: Path) -> None:
    folder = description("dataset", str(pairs_folder))[0]
    assert folder["here"] == str(pairs_folder) and folder["images_here"] == 4
    assert folder["content_hash_here"] == content_hash(load_pairs(find_card(str(pairs_folder))))
    # A card whose hash is another one is described all the same: that is how one learns the right one.
    card = description("dataset", str(write_card(tmp_path / "mine.toml", 'root = "small"', 'content_hash = "0"')))[0]
    assert card["content_hash"] == "0" and card["content_hash_here"] == folder["content_hash_here"]
    (pairs_folder / "HR" / "b.png").unlink()
    assert "no partner" in description("dataset", str(tmp_path / "mine.toml"))[0]["fault"]
    assert description("dataset", str(write_card(tmp_path / "far.toml", id="far")))[0]["here"] == "not found"
