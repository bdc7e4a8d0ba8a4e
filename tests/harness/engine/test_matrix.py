"""Methods x sets x options in one TOML: what it stands for, and what is refused in one line."""

from __future__ import annotations

import shlex

import pytest

from isrbench.harness.engine.matrix import read_matrix
from isrbench.harness.errors import UserError
from tests.support.images import write_pairs


def test_a_matrix_stands_for_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_pairs(tmp_path / "my set", ["a", "b"])
    (tmp_path / "m.toml").write_text(
        'methods = ["bicubic", { id = "folder", name = "ours", options = { images = ["x", "y z"] } }]\n'
        'datasets = ["sample", { id = "my set", limit = 1, metrics = ["psnr"] }]\n'
        'metrics = ["ssim", "@free"]\ncomplexity = false\nhr_severity = true\nruns_dir = "out"\nseed = 3\n',
        encoding="utf-8",
    )
    runs = read_matrix(tmp_path / "m.toml")
    assert [(run.dataset, run.method, dict(run.options)) for run in runs] == [
        (dataset, method, options)
        for dataset in ("sample", "my set")
        for method, options in (("bicubic", {}), ("folder", {"images": "x"}), ("folder", {"images": "y z"}))
    ]
    words = [shlex.split(run.command) for run in runs]
    assert words[0] == shlex.split(
        "isrbench eval --method bicubic --dataset sample --seed 3 --no-complexity --metrics ssim,@free --hr-severity "
        "--runs-dir out"
    )
    assert words[5][:8] == ["isrbench", "eval", "--method", "folder", "--dataset", "my set", "-o", "images=y z"]
    said = " ".join(words[5][8:])
    assert "--limit 1" in said and "--metrics psnr" in said and "--name ours" in said and "--seed 3" in said


MANY = ", ".join(f"o{n} = [1, 2]" for n in range(20))
GOOD = {"methods": '["bicubic"]', "datasets": '["sample"]'}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"datasets": None}, "datasets: this key is missing"),
        ({"methods": "[]"}, "methods: list should have at least 1 item"),
        ({"methods": "[3]"}, "methods.0: an id, or a table with one"),
        ({"limt": "3"}, "limt: there is no such key"),
        ({"limit": '"3"'}, "limit: input should be a valid integer"),
        ({"methods": '[{ id = "bicubic", limit = 3 }]'}, "methods.0.limit: there is no such key"),
        ({"methods": '[{ id = "folder", options = { images = [["x"]] } }]'}, "methods.0.options.images: a text, a num"),
        ({"methods": '[{ id = "folder", options = { images = [] } }]'}, "methods.0.options.images: a text, a number"),
        ({"methods": '["bicubi"]'}, "did you mean 'bicubic'"),
        ({"methods": '[{ id = "bicubic", options = { x = 1 } }]'}, "unknown option 'x'"),
        ({"methods": '[{ id = "bicubic", name = "lanczos" }]'}, "is the id of another method"),
        ({"datasets": '["sampl"]'}, "did you mean 'sample'"),
        ({"datasets": '["RealSR"]', "data_root": '"nowhere"'}, "RealSR was not found below nowhere"),
        ({"metrics": '["psnrr"]'}, "unknown metric 'psnrr'"),
        ({"methods": '["bicubic", "bicubic"]'}, "holds one run twice: isrbench eval --method bicubic"),
        ({"methods": "["}, "is not valid TOML"),
        (
            {"methods": f'[{{ id = "bicubic", options = {{ {MANY} }} }}]'},
            "it stands for 1048576 runs, more than 10000",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line_before_anything_runs(tmp_path, keys, said):
    lines = [f"{key} = {value}" for key, value in (GOOD | keys).items() if value is not None]
    (tmp_path / "m.toml").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(UserError) as error:
        read_matrix(tmp_path / "m.toml")
    assert said in error.value.message and "\n" not in error.value.message and error.value.fix


def test_how_the_work_is_done_is_said_as_on_the_command_line(tmp_path):
    path = tmp_path / "m.toml"
    path.write_text(
        'methods = [{ id = "mor", batch = 4 }, "bicubic"]\ndatasets = ["sample"]\nrunner = "serial"\non_oom = "tile"\n'
    )
    first, second = (run.command for run in read_matrix(path))
    assert "--runner serial" in first and "--on-oom tile" in first and "--batch 4" in first
    assert "--on-oom tile" in second and "--batch" not in second
