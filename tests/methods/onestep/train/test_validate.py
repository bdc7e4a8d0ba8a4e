"""Validation: on a data set as `isrbench eval` scores it, Spearman's rho, and the best checkpoint."""

# ruff: noqa: F401, F811  (fixtures)
import logging
import shutil
from dataclasses import replace

import pytest
import torch
from PIL import Image

import isrbench
from isrbench.harness.api.metric import Direction
from isrbench.harness.errors import UserError
from isrbench.harness.severity.known import rank_correlation
from isrbench.methods.mor.adapter import MoRAdapter
from isrbench.methods.onestep.checkpoint import load_adapter
from isrbench.methods.onestep.train.best import Best, Criterion, make_criterion
from isrbench.methods.onestep.train.config import Validation, validated
from isrbench.methods.onestep.train.curves import read_curves
from isrbench.methods.onestep.train.dataset import find_dataset, read_pairs
from isrbench.methods.onestep.train.launch import train
from isrbench.methods.onestep.train.needs import training_needs
from isrbench.methods.onestep.train.run import Run
from isrbench.methods.onestep.train.state import BEST
from isrbench.methods.onestep.train.validate import Validator
from tests.support.images import write_pairs
from tests.support.text import write_text
from tests.support.training_world import (
    DENSE,
    MOR,
    begin,
    curve_rows,
    light,
    run,
    same_state,
    state,
    values,
    world,
)

NAMES = ["a", "b", "c", "d"]
ROUTED = {"adapter": {"router_std": 2.0}}
"""A router whose images differ in their active experts from the start."""


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("sets") / "real", NAMES)


def looking(world, pairs, **more):
    """Crops of the photos at two levels, and the data set."""
    folders = (str(world / "photos"),)
    plain = {"folders": folders, "images": 2, "crop": 32, "every": 1, "levels": (0.2, 0.8), "metrics": ("psnr", "gmsd")}
    return {"validation": plain | {"dataset": str(pairs)} | more}


def look(one):
    return Validator(one.config, one.spec, one.nets, one.checkpoint())


@pytest.mark.parametrize("spec", [MOR, DENSE], ids=lambda spec: spec.id)
def test_a_validation_gives_what_an_evaluation_of_the_saved_adapter_gives(spec, world, pairs, tmp_path):
    """Not nearly, but exactly, with an adapter in float16 too; and the same of what the routing was."""
    plain = values(
        world, tmp_path, steps=2, save_every=9, half=spec.routes, **looking(world, pairs, folders=(), every=2)
    )
    plain["adapter"] = plain["adapter"] | ROUTED["adapter"] if spec.routes else {}
    plain["validation"]["metrics"] = ("psnr", "ssim", "gmsd", "piqe")
    Run(validated(plain), spec, False).loop()
    options = {"base": world / "base", "adapter": tmp_path / "adapter.safetensors"}
    given = {"metrics": ["psnr", "ssim", "gmsd", "piqe"], "complexity": False, "runs_dir": tmp_path / "runs"}
    evaluated = isrbench.evaluate(spec.id, pairs, options=options, **given)
    curves = read_curves(tmp_path / "curves.csv")
    rows = {name: value for step, name, value in curve_rows(tmp_path) if step == "2"}
    for mean in evaluated.summary.metrics:
        assert rows[f"validation/{mean.metric}@real"] == f"{mean.mean:.6g}", mean.metric
        assert curves[f"bicubic/{mean.metric}@real"][0][0] == 0
    if spec.routes:
        images, routing = evaluated.images().set_index("image"), evaluated.routing()
        active = routing.groupby("image")["active"].mean()
        assert curves["validation/active_experts@real"][0][1] == pytest.approx(active.mean(), rel=1e-5)
        rho = rank_correlation(images.loc[active.index, "severity"].to_numpy(), active.to_numpy())
        assert curves["validation/spearman"][0][1] == pytest.approx(rho, rel=1e-5)
    else:
        assert not {"validation/spearman", "validation/active_experts@real"} & curves.keys()


def test_after_prompts_of_photos_it_is_an_evaluation_with_the_prompt_of_all(world, pairs, tmp_path):
    write_text(shutil.copytree(world, tmp_path / "texts") / "base")
    (tmp_path / "prompts.tsv").write_text("".join(f"{n}\ta cat\n" for n in range(4)))
    options = looking(tmp_path / "texts", pairs, folders=(), every=2)
    data = {"prompts": str(tmp_path / "prompts.tsv")}
    run(tmp_path / "texts", tmp_path / "run", DENSE, steps=2, data=data, prompt="a dog", **options)
    options = {"base": tmp_path / "texts/base", "adapter": tmp_path / "run/adapter.safetensors"}
    options |= {"prompts": "fixed", "prompt": "a dog"}
    given = {"metrics": ["psnr"], "complexity": False, "runs_dir": tmp_path / "runs"}
    evaluated = isrbench.evaluate("osediff", pairs, options=options, **given)
    rows = {name: value for step, name, value in curve_rows(tmp_path / "run") if step == "2"}
    assert rows["validation/psnr@real"] == f"{evaluated.summary.metrics[0].mean:.6g}"


def test_spearman_is_over_all_images_and_levels_and_absent_where_nothing_varies(world, pairs, tmp_path, monkeypatch):
    one = begin(world, tmp_path, **looking(world, pairs), **ROUTED)
    seen, own = [], MoRAdapter.route

    def route(adapter, severity):
        own(adapter, severity)
        seen.append((float(severity.mean()), adapter.traces()[0].mean_active))

    monkeypatch.setattr(MoRAdapter, "route", route)
    rho = look(one).run(one.checkpoint(), 0)["validation/spearman"]
    assert len(seen) == 2 * 2 + len(NAMES) and len({active for _, active in seen}) > 1
    assert rho == pytest.approx(rank_correlation(*torch.tensor(seen).double().numpy().T), abs=1e-9)
    one.nets = replace(one.nets, routed_by="constant")
    assert "validation/spearman" not in look(one).run(one.checkpoint(), 0)
    sheet = Image.open(tmp_path / "validation/step-000000-real.png")
    assert sheet.size == (3 * 32, 2 * 32)  # two images of four; the middle of each


def test_the_best_validation_is_kept_and_resuming_finds_the_same(world, pairs, tmp_path):
    options = looking(world, pairs, best="psnr@real") | {"optim": {"lr": 3e-2}}
    one = run(world, tmp_path / "whole", steps=4, **options)
    curve = dict(read_curves(tmp_path / "whole/curves.csv")["validation/psnr@real"])
    first = max(curve, key=lambda step: (curve[step], -step))
    best = load_adapter(tmp_path / "whole" / BEST, method="mor")
    assert best.training["step"] == first
    assert best.training["best"] == {"by": "psnr@real", "value": pytest.approx(curve[first], rel=1e-5)}
    one.mean.load_state_dict(best.state)
    with one.mean.applied():
        again = look(one).run(best, 99)
    assert again["validation/psnr@real"] == best.training["best"]["value"]
    # Stopped after the state of step 2: what came later, the best of it as well, is done again.
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    (tmp_path / "cut/states/state-4.pt").unlink()
    begun = begin(world, tmp_path / "cut", resume=True, steps=4, **options)
    assert begun.best and load_adapter(tmp_path / "cut" / BEST).training["step"] == begun.best.step <= 2
    begun.loop()
    for name in (BEST, "adapter.safetensors"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes(), name


def test_a_best_adapter_is_not_overwritten_and_not_chosen_by_two_rules(world, pairs, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / BEST).write_text("mine")
    with pytest.raises(UserError, match=r"holds a run already \(best.safetensors"):
        begin(world, tmp_path / "other")
    run(world, tmp_path / "run", steps=2, **looking(world, pairs, best="psnr"))
    with pytest.raises(UserError, match=r"validation\.best was 'psnr', now 'gmsd'"):
        begin(world, tmp_path / "run", resume=True, steps=2, **looking(world, pairs, best="gmsd"))
    begin(world, tmp_path / "run", resume=True, steps=2, **looking(world, pairs, best="psnr", every=7))


def test_a_validation_leaves_the_run_as_it_is(world, pairs, tmp_path):
    run(world, tmp_path / "looked", steps=2, **looking(world, pairs))
    run(world, tmp_path / "not", steps=2)
    assert same_state(*(state(tmp_path / name, 2) for name in ("looked", "not")))


def test_which_validation_is_better():
    directions = {"psnr": Direction.HIGHER, "lpips": Direction.LOWER}
    by_set = make_criterion("lpips", directions, ["0.2", "0.8"], "real")
    assert by_set == Criterion(("validation/lpips@real",), Direction.LOWER)
    by_level = make_criterion("psnr", directions, ["0.2", "0.8"], "")
    assert by_level.curves == ("validation/psnr@0.2", "validation/psnr@0.8")
    assert make_criterion("psnr@0.2", directions, ["0.2"], "real").curves == ("validation/psnr@0.2",)
    so_far = Best(0.3, 1, {})
    assert [by_set.better({"validation/lpips@real": v}, so_far) for v in (0.2, 0.3, 0.4)] == [0.2, None, None]
    both = {"validation/psnr@0.2": 30.0, "validation/psnr@0.8": 20.0}
    assert by_level.better(both, None) == 25.0 and by_level.better({"validation/psnr@0.2": 30.0}, None) is None
    for wrong, said in (("musiq", "measures psnr, lpips"), ("psnr@0.5", "looks at 0.2, real")):
        with pytest.raises(UserError, match=said):
            make_criterion(wrong, directions, ["0.2"], "real")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"metrics": ("fid",)}, "fid compares whole sets"),
        ({"metrics": ("lpips",)}, "lpips needs .*ISRBENCH_OFFLINE"),
        ({"metrics": ("psnrr",)}, "psnrr"),
        ({"best": "lpips"}, "measures psnr, gmsd"),
        ({"folders": (), "dataset": "", "best": "psnr"}, "there is no validation"),
    ],
)
def test_a_validation_that_cannot_be_made_is_refused_before_the_first_step(
    more, said, world, pairs, tmp_path, monkeypatch
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no-weights"))
    with pytest.raises(UserError, match=said):
        begin(world, tmp_path, **looking(world, pairs, **more)).loop()
    assert not (tmp_path / "states").exists()


def test_a_set_without_hr_has_no_value_to_choose_by(world, pairs, tmp_path):
    folder = tmp_path / "lr-only"
    shutil.copytree(pairs / "LR", folder / "LR")
    options = looking(world, folder, best="psnr@lr-only")
    with pytest.raises(UserError, match="has no value on these images"):
        begin(world, tmp_path / "run", **options).loop()


def test_a_data_set_is_looked_for_before_torch_is_imported(world, tmp_path):
    argv = ["--data", str(world / "photos"), "--out", str(tmp_path / "run"), "validation.dataset=DRealSR"]
    argv += [f"validation.data_root={tmp_path}"]

    def spec():
        raise AssertionError("nothing of the method is loaded")

    with pytest.raises(UserError, match=r"validation\.dataset: the dataset DRealSR was not found") as caught:
        train("mor", argv, spec)
    assert caught.value.fix and "validation.data_root=" in caught.value.fix


def test_a_data_set_of_another_scale_is_refused_and_a_test_set_warned_of(tmp_path, caplog):
    twice = write_pairs(tmp_path / "twice", NAMES, scale=2)
    with pytest.raises(UserError, match="twice has scale 2"):
        find_dataset(Validation(dataset=str(twice)))
    with caplog.at_level(logging.WARNING):
        card, found = read_pairs(Validation(dataset="sample"))
    assert card.id == "sample" and len(found) == 24 and "a test set" in caplog.text


def test_what_a_validation_needs_is_told():
    options = ["validation.dataset=DRealSR", 'validation.metrics=["@free", "lpips"]']
    needs = training_needs("mor", options, routes=True)
    assert [download.what for download in needs.downloads] == ["validation metric lpips"]
    assert needs.by_hand[-1] == "validation.dataset: isrbench fetch datasets --dataset DRealSR"
