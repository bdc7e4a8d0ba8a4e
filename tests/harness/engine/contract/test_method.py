"""The checks of methods pass a good one, and each finds what it is there for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from isrbench.harness.api.method import Cost, MethodInfo, MethodPlugin, Restored, RoutingTrace, Runtime
from isrbench.harness.engine.contract.check import Verdict, carry_out
from isrbench.harness.engine.contract.method import METHOD_CHECKS
from isrbench.harness.engine.contract.subject import Subject
from tests.support.cli import isrbench
from tests.support.packages import install
from tests.support.plugins import MISBEHAVING, MISBEHAVING_POINTS


@dataclass(frozen=True)
class Options:
    """One choice."""

    gain: float = field(default=1.0, metadata={"help": "factor"})


@dataclass
class Thawed:
    """Options that are not frozen."""

    gain: float = 1.0


class Good:
    """Repeats pixels."""

    weights_hash = ""

    def restore(self, lr: torch.Tensor, *, image: str, seed: int) -> Restored:
        return Restored(self.image(lr, seed))

    def image(self, lr: torch.Tensor, seed: int) -> torch.Tensor:
        noise = torch.rand(lr.shape, generator=torch.Generator().manual_seed(seed)) * 0.1
        return (lr + noise).clamp(0, 1).repeat_interleave(4, 1).repeat_interleave(4, 2)

    def cost(self, height: int, width: int) -> Cost:
        return Cost(macs=height * width, params_total=0)

    def input_hash(self, image: str) -> str:
        return ""


INFO = MethodInfo("good", "Good", "Repeats pixels.", "MIT", "@misc{good}")


def checked(method: Callable[[], Any] = Good, info: MethodInfo = INFO, options: Any = Options()) -> dict[str, str]:
    """Return why checks failed, by what they ask for; all others passed or had nothing to look at."""
    plugin = MethodPlugin(info, type(options), lambda options, runtime: method())
    found = carry_out(METHOD_CHECKS, Subject(plugin, options, method(), Runtime()))
    assert [one.check for one in found] == list(METHOD_CHECKS)
    return {one.check: one.reason for one in found if one.verdict is Verdict.FAIL}


def test_a_good_method_fails_nothing() -> None:
    assert checked() == checked(Batched) == {}


class Counts(Good):
    """Depends on how often it was called."""

    def __init__(self) -> None:
        self.calls = 0

    def image(self, lr: torch.Tensor, seed: int) -> torch.Tensor:
        self.calls += 1
        return super().image(lr, seed) * (0.5 + 0.1 * (self.calls % 3))


class Batched(Good):
    """Restores several images at once."""

    def restore_batch(self, lrs: torch.Tensor, *, images: Sequence[str], seeds: Sequence[int]) -> list[Restored]:
        given = zip(lrs, images, seeds, strict=True)
        return [self.restore(lr, image=image, seed=seed) for lr, image, seed in given]


class Mixes(Batched):
    """Gives every image of a batch the first one's."""

    def restore_batch(self, lrs: torch.Tensor, *, images: Sequence[str], seeds: Sequence[int]) -> list[Restored]:
        return super().restore_batch(lrs, images=images, seeds=seeds)[:1] * len(lrs)


class Global(Good):
    """Draws from the process's random numbers."""

    def image(self, lr: torch.Tensor, seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return super().image(lr, seed)


class Whole(Good):
    """Knows multiples of four only."""

    def image(self, lr: torch.Tensor, seed: int) -> torch.Tensor:
        return super().image(lr[:, : lr.shape[1] // 4 * 4, : lr.shape[2] // 4 * 4], seed)


class Writes(Good):
    """Writes to its LR."""

    def image(self, lr: torch.Tensor, seed: int) -> torch.Tensor:
        lr.add_(0)
        lr[0, 0, 0] = 0.123
        return super().image(lr, seed)


class Born(Good):
    """Is another one each time it is built."""

    def __init__(self) -> None:
        self.weights_hash = str(np.random.default_rng().integers(2**40))
        self.gain = float(np.random.default_rng().random())

    def image(self, lr: torch.Tensor, seed: int) -> torch.Tensor:
        return super().image(lr, seed) * self.gain


class Lingers(Good):
    """Leaves a thread behind."""

    stop = threading.Event()

    def image(self, lr: torch.Tensor, seed: int) -> torch.Tensor:
        threading.Thread(target=self.stop.wait, args=(5,), name="lingering").start()
        return super().image(lr, seed)


class Prepared(Good):
    """Prepares for another result."""

    gain = 1.0

    def prepare(self, images: object) -> None:
        self.gain = 0.5

    def image(self, lr: torch.Tensor, seed: int) -> torch.Tensor:
        return super().image(lr, seed) * self.gain


class Doubles(Good):
    """Returns float64."""

    def image(self, lr: torch.Tensor, seed: int) -> torch.Tensor:
        return super().image(lr, seed).double()


class Free(Good):
    """Costs less for a larger image."""

    def cost(self, height: int, width: int) -> Cost:
        return Cost(macs=1000 - height, params_total=height)


class Unhashed(Good):
    """Hashes to a number."""

    def input_hash(self, image: str) -> str:
        return 7  # type: ignore[return-value]


class Routes(Good):
    """Returns a trace without saying so."""

    def restore(self, lr: torch.Tensor, *, image: str, seed: int) -> Restored:
        return Restored(self.image(lr, seed), RoutingTrace(("x",), (1,), (0,)))


class Exits(Good):
    """Tries to end the process."""

    def cost(self, height: int, width: int) -> Cost:
        raise SystemExit(0)


SIZED = "every size is restored exactly, in [0, 1]"
REPEATS = "an image depends on its LR and its seed only"
PROCESS = "the process is left as it was"
AGAIN = "a method built again restores the same"
HASHES = "hashes are texts, the same for another instance"
COSTS = "cost grows with the image, or is openly unknown"


@pytest.mark.parametrize(
    ("method", "broken"),
    [
        (Counts, {REPEATS: "is another one after a second image", AGAIN: "another image"}),
        (Mixes, {"in a batch an image is what it is alone, up to rounding": "image 1 of a batch of 2 differs"}),
        (Global, {PROCESS: "it changes torch's random state of the whole process"}),
        (Whole, {SIZED: "odd, 17x23: restore returned shape (3, 64, 80), not (3, 68, 92)"}),
        (Writes, {SIZED: "odd: the LR that it was handed is changed"}),
        (Born, {AGAIN: "built anew", HASHES: "weights_hash differs"}),
        (Lingers, {PROCESS: "it leaves threads behind, which keep the process from ending: lingering"}),
        (Prepared, {"preparing changes no result": "after prepare"}),
        (Doubles, {SIZED: "torch.float64 instead of torch.float32"}),
        (Free, {COSTS: "MACs of 16x16 are 984, of 32x32 968"}),
        (Unhashed, {HASHES: "input_hash('odd') is a int, not a text"}),
        (Routes, {SIZED: "MethodInfo.routes is False, and a trace is returned"}),
        (Exits, {COSTS: "by SystemExit: 0"}),
    ],
)
def test_each_fault_is_found_and_no_other(method: type[Good], broken: dict[str, str]) -> None:
    Lingers.stop.clear()
    found = checked(method)
    Lingers.stop.set()
    for what, words in broken.items():
        assert words in found.pop(what)
    assert SIZED in broken or not found, "an image of the wrong size fails whatever looks at it"


def test_facts_and_options() -> None:
    assert "one sentence" in checked(info=replace(INFO, summary="no full stop"))["title, license and summary are there"]
    assert "begins with @" in checked(info=replace(INFO, citation="Me, 2026"))["the citation is BibTeX"]
    assert (
        'no metadata={"help": ...}: gain'
        in checked(options=Thawed())["options have a help text, a key, and are frozen"]
    )

    @dataclass(frozen=True)
    class Local:
        """Options that no other process can import."""

    assert "can be sent" in "".join(name for name in checked(options=Local()))


GOOD = """
from dataclasses import dataclass
from isrbench.harness.api.method import Cost, MethodInfo, MethodPlugin, Restored
{heavy}

@dataclass(frozen=True)
class Options:
    pass

class Method:
    weights_hash = ""
    def restore(self, lr, *, image, seed):
        return Restored(lr.repeat_interleave(4, 1).repeat_interleave(4, 2))
    def cost(self, height, width):
        return Cost(0, 0)
    def input_hash(self, image):
        return ""

def build(options, runtime):
    return Method()

PLUGIN = MethodPlugin(MethodInfo("{id}", "Mine", "Repeats pixels.", "MIT"), Options, build)
"""


@pytest.mark.process
def test_the_command_for_methods(site: Path, capsys, monkeypatch) -> None:
    """0: all well; 1: some check fails; 2: there is nothing that could be checked."""
    monkeypatch.setenv("PYTHONPATH", str(site), prepend=":")
    names = {"light": "", "heavy": "import tensorflow"}
    sources = {f"mine_{id}": GOOD.format(id=id, heavy=heavy) for id, heavy in names.items()}
    install(site, "mine", {"isrbench.methods": {id: f"mine_{id}:PLUGIN" for id in names}}, **sources)
    (site / "tensorflow.py").touch()
    install(site, "misbehaving", MISBEHAVING_POINTS, misbehaving=MISBEHAVING)
    code, out, _ = isrbench(capsys, "check", "method", "light")
    assert code == 0 and "fail" not in out
    assert "pass     every size is restored exactly, in [0, 1]" in out.splitlines()
    assert "skipped  the citation is BibTeX: none is given: bibliographies will lack it" in out.splitlines()
    code, out, _ = isrbench(capsys, "check", "method", "heavy")
    failed = [line for line in out.splitlines() if line.startswith("fail")]
    assert code == 1 and len(failed) == 1 and "it imports tensorflow: import that where `build` does" in failed[0]
    for words, said in [
        (("misbehaving", "-o", "where=build"), "cannot be built: PluginExit"), (("absent",), "unknown method 'absent'"),
        (("light", "-o", "x=1"), "unknown option 'x'"), (("light", "--device", "nowhere"), "--device nowhere"),
    ]:  # fmt: skip
        code, _, err = isrbench(capsys, "check", "method", *words)
        assert code == 2 and said in err and "Traceback" not in err
