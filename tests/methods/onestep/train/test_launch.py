"""``isrbench train`` on several processes: how many it starts, that they equal one, and how they fail."""

# ruff: noqa: F811  (fixtures)
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from isrbench.harness.errors import UserError
from isrbench.methods.onestep.train import launch
from isrbench.methods.onestep.train.config import parse_config
from isrbench.methods.onestep.train.launch import processes_to_start, run_together
from tests.support.cli import finished
from tests.support.paths import ROOT
from tests.support.training_world import MOR, begin, curve_rows, light, same, world  # noqa: F401


def gpus(monkeypatch, count):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


def asked(*more):
    return parse_config("mor", ["--data", "d", *more])[0]


def test_one_process_for_each_visible_gpu_unless_told_otherwise(monkeypatch):
    for count, expected in ((0, 1), (1, 1), (4, 4)):
        gpus(monkeypatch, count)
        assert processes_to_start(asked(), {}) == expected
    assert processes_to_start(asked("--processes", "2"), {}) == 2
    assert processes_to_start(asked("--processes", "1"), {}) == 1
    assert processes_to_start(asked("device=cpu"), {}) == 1
    assert processes_to_start(asked("device=cpu", "--processes", "8"), {}) == 8
    with pytest.raises(UserError, match="8 processes need as many GPUs, and 4 can be seen"):
        processes_to_start(asked("--processes", "8"), {})


@pytest.mark.parametrize("method", ["mor", "lora_moe", "osediff"])
def test_names_that_nobody_knows_are_told_before_the_adapter_is_imported(method, monkeypatch):
    from importlib import import_module

    def loading(*args):
        raise AssertionError("torch would be imported by now")

    train = import_module(f"isrbench.methods.{method}.training")
    monkeypatch.setattr(train, "_spec", loading)
    monkeypatch.setattr(launch, "processes_to_start", loading)
    for word, said in (("adapter.rnk=4", "unknown adapter field 'rnk'"), ('validation.metrics=["psnrr"]', "'psnr'")):
        with pytest.raises(UserError, match=said):
            train.train(["--data", ".", word])
    adapter = import_module(f"isrbench.methods.{method}.adapter").SPEC.default
    with pytest.raises(AssertionError, match="by now"):
        train.train(["--data", ".", *(f"adapter.{field}=1" for field in vars(adapter))])


@pytest.mark.parametrize("name", ["WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "ACCELERATE_MIXED_PRECISION"])
def test_in_a_group_nothing_is_started_again(name, monkeypatch):
    gpus(monkeypatch, 4)
    assert processes_to_start(asked(), {name: "1"}) == 1


def test_processes_that_were_not_started_are_refused(world, tmp_path):
    with pytest.raises(UserError, match="processes=2, but 1 were started together"):
        begin(world, tmp_path, processes=2)


def test_a_step_that_cannot_be_shared_is_refused_before_anything_starts(monkeypatch):
    monkeypatch.setattr(launch, "run_together", None)
    with pytest.raises(UserError, match="global_batch=4 cannot be shared out evenly among 3 processes"):
        launch.train("mor", ["--data", ".", "device=cpu", "--processes", "3"], lambda: None)


def arguments(world, out, photos):
    plain = [f"base={world / 'base'}", "timestep=249", "data.crop=32", "data.severity_window=0", "data.workers=0"]
    plain += ["global_batch=2", "batch=1", "device=cpu", "threads=1", "log_every=1", "half=false", "optim.warmup=0"]
    return ["--data", str(photos), "--out", str(out), "--steps", "2", *plain]


def by_isrbench(argv):
    return finished("train", "--method", "mor", *argv, "--processes", 2)


def by_accelerate(argv):
    # It starts several local processes for --multi_gpu only; device=cpu then makes them a gloo group.
    options = ["--num_processes", "2", "--num_machines", "1", "--multi_gpu", "--main_process_port", "0"]
    options += ["--mixed_precision", "no", "--dynamo_backend", "no", "-m", "isrbench", "train", "--method", "mor"]
    command = [sys.executable, "-m", "accelerate.commands.launch", *options, *argv]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=ROOT)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("start", [by_isrbench, by_accelerate])
def test_two_started_processes_give_the_adapter_of_one(start, world, tmp_path):
    argv = arguments(world, tmp_path / "one", world / "photos")
    assert launch.train("mor", [*argv, "--processes", "1"], lambda: MOR) == 0
    code, _, said = start(arguments(world, tmp_path / "two", world / "photos"))
    assert code == 0 and "2 images a step = 2 x 1 x 1" in said, said
    if start is by_isrbench:
        assert said.count("try it:") == 1, "the others are silent"
    one, two = (load_file(tmp_path / name / "adapter.safetensors") for name in ("one", "two"))
    assert same(one, two) and curve_rows(tmp_path / "one") == curve_rows(tmp_path / "two")


@pytest.mark.process
def test_what_is_started_is_this_isrbench_and_only_the_first_is_heard(tmp_path, monkeypatch, capfd):
    """That they train as one process does is tested by test_processes.py, and of whole programs by the slow test."""
    started = []
    monkeypatch.setattr(launch, "run_together", lambda command, count: started.append((command, count)) or 0)
    argv = ["--data", str(tmp_path), "device=cpu", "--processes", "2"]
    assert launch.train("mor", argv, lambda: None) == 0
    ((command, count),) = started
    assert count == 2 and command[-len(argv) - 3 :] == ["train", "--method", "mor", *argv]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "isrbench.py").write_text("raise ImportError('somebody else's')")
    assert run_together([*command[: -len(argv) - 3], "list", "datasets"], count) == 0
    assert "".join(capfd.readouterr()).count("datasets\n") == 1


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_folder_that_is_not_there_is_told_before_anything_is_imported(processes, monkeypatch):
    monkeypatch.setattr(launch, "run_together", None)
    with pytest.raises(UserError, match="nowhere is neither a folder nor a file"):
        launch.train("mor", ["--data", "nowhere", "device=cpu", "--processes", processes], lambda: None)


@pytest.mark.slow
@pytest.mark.process
def test_a_mistake_that_both_processes_meet_is_told_once(world, tmp_path):
    (tmp_path / "photos").mkdir()
    whole = (world / "photos/0.png").read_bytes()
    (tmp_path / "photos/half.png").write_bytes(whole[: len(whole) // 2])
    code, _, said = by_isrbench(arguments(world, tmp_path / "out", tmp_path / "photos"))
    assert code == 2 and said.count("half.png is damaged") == 1, said


@pytest.mark.process
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("time.sleep(60 if rank == 0 else 0); sys.exit(2 * rank)", 2),  # the first hangs: it waits for the second
        ("sys.exit(0)", 0),
        ("sys.exit(3 - rank)", 2),  # a mistake is the cause, a lost connection the consequence
        ("time.sleep(60 if rank == 0 else 0); os.kill(os.getpid(), signal.SIGKILL)", signal.SIGKILL),
    ],
)
def test_what_counts_of_several_processes(body, expected, capfd):
    script = "import os, signal, sys, time\nrank = int(os.environ['RANK'])\nprint('I am', rank, flush=True)\n" + body
    command = [sys.executable, "-c", script]
    if expected == signal.SIGKILL:
        with pytest.raises(UserError, match="process 1 of the training was ended by SIGKILL"):
            run_together(command, 2, grace=1)
        return
    assert run_together(command, 2, grace=1) == expected
    told = "".join(capfd.readouterr())
    assert "I am 0" in told and ("I am 1" in told) == (expected == 2)


@pytest.mark.process
def test_ending_the_first_process_ends_all(tmp_path):
    child = "import os, pathlib, time; pathlib.Path(os.environ['RANK']).write_text(str(os.getpid())); time.sleep(60)"
    parent = "import sys; from isrbench.methods.onestep.train.launch import run_together\n"
    parent += f"run_together([sys.executable, '-c', {child!r}], 2)"
    process = subprocess.Popen([sys.executable, "-c", parent], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)})
    deadline = time.monotonic() + 60
    while not all((tmp_path / rank).exists() and (tmp_path / rank).read_text() for rank in "01"):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.terminate()
    assert process.wait(30) == 128 + signal.SIGTERM
    for rank in "01":
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / rank).read_text()), 0)
