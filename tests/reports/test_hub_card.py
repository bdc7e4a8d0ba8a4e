"""What is published: model cards and the bibliography."""

from __future__ import annotations

from dataclasses import replace

import pytest
from huggingface_hub import ModelCard

from isrbench.harness.api.method import MethodPlugin
from isrbench.harness.api.registry import Registry, methods
from isrbench.harness.errors import UserError
from isrbench.harness.store.frames import Frames
from isrbench.reports.hub_card import bibliography, hub_card, write_publication
from tests.support.report_frames import begun, frames, of_methods, on_dataset, part_of, together, with_manifests


def _two_sets(made: Frames) -> Frames:
    """The same runs on a second set, and a newer second run of bicubic on the first."""
    second = with_manifests(on_dataset(made, "other"), lambda m: m.model_copy(update={"run": f"{m.run}-o"}))
    again = begun(of_methods(made, "bicubic"), "2027-01-01T00:00:00+00:00")
    again = with_manifests(again, lambda m: m.model_copy(update={"run": "bicubic-again-9"}))
    return together(made, second, replace(again, scores=again.scores.assign(value=1.0)))


def test_hub_card_covers_all_sets_without_doubles_and_the_hub_reads_it(tmp_path):
    made = frames(tmp_path, count=6)
    data = ModelCard(hub_card(_two_sets(made), "mor")).data
    mean = made.scores.query("method == 'mor' and metric == 'psnr'")["value"].mean()
    found = {(r.dataset_name, r.metric_type): r.metric_value for r in data.eval_results or []}
    assert len(found) == len(data.eval_results or []) == 2 * 4 and data.model_name == "MoR-SR (tiny)"
    assert found["sample", "psnr"] == found["other", "psnr"] == pytest.approx(mean, abs=1e-6)
    bicubic = ModelCard(hub_card(_two_sets(made), "bicubic")).data.eval_results or []
    values = [r.metric_value for r in bicubic if (r.dataset_name, r.metric_type) == ("sample", "psnr")]
    assert values == [1.0], "of two runs on one set the newest"
    with pytest.raises(UserError, match="no complete mean of 'folder'"):
        hub_card(made, "folder")


def test_cards_and_bibliography_are_written(tmp_path, caplog):
    made = frames(tmp_path / "images", count=6)
    names = [path.name for path in write_publication(made, methods(), tmp_path / "out")]
    assert names == ["hub-card-bicubic.md", "hub-card-mor.md", "references.bib"]
    assert "no hub card for OSEDiff PNGs: it has no complete mean" in caplog.text
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_publication(made, methods(), tmp_path / "file")
    card, bib = tmp_path / "out/hub-card-mor.md", tmp_path / "out/references.bib"
    card.write_text("edited")
    bib.unlink()
    with pytest.raises(UserError, match=r"hub-card-bicubic\.md, .*hub-card-mor\.md are there already") as caught:
        write_publication(made, methods(), tmp_path / "out")
    assert "--overwrite" in (caught.value.fix or "") and card.read_text() == "edited" and not bib.exists()
    write_publication(made, methods(), tmp_path / "out", overwrite=True)
    assert "model-index" in card.read_text() and bib.exists()


def test_a_run_over_a_part_is_left_out_with_a_line(tmp_path, caplog):
    made = part_of(frames(tmp_path / "images", count=6, failed=False), "mor", ["scene_000"], whole=6)
    names = [path.name for path in write_publication(made, methods(), tmp_path / "out")]
    assert names == ["hub-card-bicubic.md", "hub-card-folder.md", "references.bib"]
    assert "no hub card from sample, 1 of 6 images (MoR-SR (tiny)): a card is about whole sets" in caplog.text
    with pytest.raises(UserError, match="no complete mean of 'mor' over a whole set"):
        hub_card(made, "mor")


def test_nothing_to_publish_is_an_error_with_a_fix(tmp_path):
    made = on_dataset(frames(tmp_path / "images", count=6, failed=False), "RealSR", whole=100, limit=6)
    with pytest.raises(UserError, match="no run here can be published") as caught:
        write_publication(made, methods(), tmp_path / "out")
    assert "without --limit and --sample" in (caught.value.fix or "") and not (tmp_path / "out").exists()


def test_titles_that_share_an_id_have_cards_of_their_own(tmp_path):
    made = of_methods(frames(tmp_path / "images", count=4, failed=False), "bicubic", "folder")
    made = with_manifests(made, lambda m: m.model_copy(update={"name": "ours"}))
    names = {path.name for path in write_publication(made, methods(), tmp_path / "out")}
    assert names == {"hub-card-ours-bicubic.md", "hub-card-ours-osediff-pngs.md", "references.bib"}


def test_bibliography_is_sorted_and_without_doubles(tmp_path):
    text = bibliography(frames(tmp_path, count=6), methods())
    keys = [line.partition("{")[2].split(",")[0] for line in text.splitlines() if line.startswith("@")]
    assert "keys1981cubic" in keys and "wang2004ssim" in keys
    assert keys == sorted(set(keys)) and text.count("{") == text.count("}")


def test_bibliography_knows_named_runs_by_their_manifest(tmp_path):
    facts = {
        "bicubic": {"name": "ours"},
        "folder": {"name": "theirs", "citation": "@misc{theirs1, title={T}}"},
        "mor": {"name": "mine", "method": "gone"},
    }
    made = with_manifests(frames(tmp_path, count=3), lambda m: m.model_copy(update=facts[m.name]))
    text = bibliography(made, Registry.from_entry_points("method", MethodPlugin, "isrbench.methods"))
    assert "keys1981cubic" in text and "@misc{theirs1" in text


def test_bibliography_takes_a_sets_citation_from_its_manifest(tmp_path):
    made = on_dataset(frames(tmp_path, count=3), "mine", citation="@misc{myset, title={S}}")
    assert "@misc{myset" in bibliography(made, methods())


def test_a_method_whose_package_broke_has_no_citation(tmp_path):
    broken = Registry("method", MethodPlugin)
    broken.register("mor", "no_such_module_anywhere:PLUGIN")
    made = of_methods(frames(tmp_path, count=3), "mor")
    assert bibliography(made, broken) == bibliography(made, Registry("method", MethodPlugin))
