"""All that wants a GPU in one go: the tests marked gpu, then the benches at full size; see CONTRIBUTING.md.

python tests/on_gpu.py --out gpu                            # minutes; needs pytest, torch with CUDA and isrbench
python tests/on_gpu.py --out gpu --device cpu --size tiny   # dry run: the same steps, small, where there is no GPU

Every step is a process of its own with its own share of the time, so that one that hangs or fails costs only itself.
``gpu.log`` holds what they printed, ``gpu.json`` the benches' numbers.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Step:
    """One process."""

    name: str
    command: tuple[str, ...]
    """What Python runs, behind ``-m``."""
    seconds: int
    """Time limit."""


def steps(device: str, size: str) -> list[Step]:
    """Return the steps: tests first, then benches from the most wanted on."""
    small = size == "tiny"
    side, large, half = ("64", "128", "fp32") if small else ("512", "2048", "fp16")
    limits = (900, 900, 900, 900) if small else (240, 120, 150, 300)
    where = ("tests/test_cuda.py", "tests/harness", "-m", "gpu", "--device", device, "--size", size)
    found = [Step("tests", ("pytest", "-q", "-p", "no:cacheprovider", "--durations=5", *where), limits[0])]
    sizes = [(half, side, 1, 10), (half, side, 4, 5), (half, side, 16, 3), (half, large, 1, 3)]
    for dtype, pixels, batch, rounds in sizes if small else [*sizes, ("fp32", side, 1, 5)]:
        bench = ("isrbench.methods.studies.bench_inference", "--size", size, "--dtype", dtype, "--pixels", pixels)
        how = ("--batch", str(batch), "--rounds", str(2 if small else rounds))
        found.append(Step(f"inference-{dtype}-{pixels}-{batch}", (*bench, *how), limits[1]))
    for batch in (1, 4):
        bench = ("isrbench.methods.studies.bench_training", "--size", size, "--crop", "96" if small else "512")
        how = ("--batch", str(batch), "--rounds", "2" if small else "5")
        found.append(Step(f"training-{batch}", (*bench, *how), limits[2]))
    # Two of its five arms compile for minutes.
    bench = ("isrbench.methods.studies.bench_options", "--method", "osediff", "--size", size, "--dtype", "fp16")
    how = ("--pixels", "16" if small else "128", "--rounds", "2" if small else "10")
    return [*found, Step("options", (*bench, *how), limits[3])]


def main() -> int:
    """Run the steps and print a table; returns 1 where one failed or found no time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for gpu.log and gpu.json")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", choices=("tiny", "sd21"), default="sd21")
    parser.add_argument("--minutes", type=float, default=12.0, help="no step runs on beyond this")
    parser.add_argument("--only", nargs="+", default=[], help="run the steps whose names begin so")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * args.minutes
    done = []
    with (args.out / "gpu.log").open("w", encoding="utf-8") as log:
        for step in steps(args.device, args.size):
            if args.only and not step.name.startswith(tuple(args.only)):
                continue
            numbers = args.out / f"{step.name}.part"
            more = ("--device", args.device, "--out", str(numbers)) if step.name != "tests" else ()
            log.write(f"\n=== {step.name}: python -m {' '.join(step.command + more)}\n")
            log.flush()
            began = time.monotonic()
            code = _run([sys.executable, "-m", *step.command, *more], log, min(step.seconds, end - began))
            costs = json.loads(numbers.read_text())["costs"] if numbers.exists() else None
            numbers.unlink(missing_ok=True)
            seconds = time.monotonic() - began
            done.append({"step": step.name, "code": code, "seconds": round(seconds, 1), "costs": costs})
            print(f"{step.name:<24} {'ok' if code == 0 else f'FAILED ({code})':<14} {seconds:7.1f} s", flush=True)
            (args.out / "gpu.json").write_text(json.dumps({"machine": _machine(args.device), "steps": done}, indent=1))
    print((args.out / "gpu.log").read_text(encoding="utf-8"))
    return int(any(step["code"] for step in done))


def _run(command: list[str], log: object, seconds: float) -> int | str:
    """The exit code, or why there is none."""
    if seconds <= 0:
        return "no time left"
    # A step that is stopped leaves its temporary files, gigabytes of them, for this process to remove.
    with tempfile.TemporaryDirectory() as own:
        environment = os.environ | {"TMPDIR": own}
        try:
            return subprocess.run(
                command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, timeout=seconds, env=environment
            ).returncode  # type: ignore[call-overload]
        except subprocess.TimeoutExpired:
            return f"stopped after {seconds:.0f} s"


def _machine(device: str) -> dict[str, str]:
    import torch

    cuda = device.startswith("cuda") and torch.cuda.is_available()
    return {"torch": torch.__version__, "device": torch.cuda.get_device_name(device) if cuda else device}


if __name__ == "__main__":
    raise SystemExit(main())
