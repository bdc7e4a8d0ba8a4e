# /// script
# dependencies = ["nox[uv]>=2025.2"]
# ///
"""Everything a user or contributor runs: ``nox -s eval -- --method bicubic --dataset sample``."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import nox

nox.needs_version = ">=2025.2"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["tests", "lint", "typecheck"]

PROJECT = nox.project.load_toml("pyproject.toml")
CONSTRAINTS = Path(__file__).parent / "constraints.txt"


def install(session: nox.Session, *groups: str, editable: bool = True) -> None:
    """Install isrbench and dependency groups at the tested versions, and the plugin packages that somebody names.

    Set ISRBENCH_UNCONSTRAINED=1 to take the newest versions instead. ISRBENCH_PLUGINS holds folders of packages, or
    requirements, with spaces between them.
    """
    pins = [] if os.environ.get("ISRBENCH_UNCONSTRAINED") else ["-c", str(CONSTRAINTS)]
    extra = nox.project.dependency_groups(PROJECT, *groups) if groups else ()
    session.install(*pins, *(["-e"] if editable else []), ".", *extra)
    for plugin in shlex.split(os.environ.get("ISRBENCH_PLUGINS", "")):
        session.install(*pins, *(["-e"] if Path(plugin).is_dir() else []), plugin)


def passes(session: nox.Session, *command: str) -> None:
    """Run a command with what stands behind ``--``.

    nox itself exits with 1 whatever the command's own code was; ``isrbench`` alone tells 1 (some images failed) from
    2 (something for the user to fix).
    """
    session.run(*command, *session.posargs)


@nox.session
def eval(session: nox.Session) -> None:
    """Run a method over a dataset: nox -s eval -- --method bicubic --dataset sample."""
    install(session)
    passes(session, "isrbench", "eval")


@nox.session
def train(session: nox.Session) -> None:
    """Train a method: nox -s train -- --method mor --preset tiny --data images/ --out trained/."""
    install(session)
    passes(session, "isrbench", "train")


@nox.session
def fetch(session: nox.Session) -> None:
    """Fetch weights or data: nox -s fetch -- weights --metric lpips, or -- training --preset sd21."""
    install(session)
    passes(session, "isrbench", "fetch")


@nox.session
def report(session: nox.Session) -> None:
    """Turn stored runs into tables, plots and a page: nox -s report -- --out report."""
    install(session)
    passes(session, "isrbench", "report")


@nox.session
def demo(session: nox.Session) -> None:
    """Photos in a page, with a slider between before and after: nox -s demo -- --methods bicubic,mor, or -- test."""
    # Gradio does not take the pinned Pillow, which the other sessions keep: it is part of every run's identity.
    pins = Path(session.create_tmp()) / "constraints.txt"
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines(keepends=True)
    pins.write_text("".join(line for line in lines if not line.startswith("pillow==")), encoding="utf-8")
    if session.posargs[:1] == ["test"]:
        session.install("-c", str(pins), "-e", ".[demo]", *nox.project.dependency_groups(PROJECT, "test"))
        session.run("python", "-m", "pytest", "tests/harness/cli/test_demo.py", "-m", "", *session.posargs[1:])
        return
    session.install("-c", str(pins), "-e", ".[demo]")
    passes(session, "isrbench", "demo")


@nox.session
def bench(session: nox.Session) -> None:
    """Performance, mostly as ratios: nox -s bench -- scoring; mor, options, training, runners, throughput or report."""
    install(session)
    what, *rest = session.posargs or ["scoring"]
    benches = {
        "scoring": "bench-scoring",
        "mor": "bench-inference",
        "options": "bench-options",
        "training": "bench-training",
        "runners": "bench-runners",
        "report": "bench-report",
        "throughput": "bench-throughput",
    }
    if what not in benches:
        session.error(f"'{what}' is not a bench; choose one of {', '.join(benches)}")
    session.run("isrbench", "tools", benches[what], *rest)


@nox.session
def ablate(session: nox.Session) -> None:
    """The ablation table of LoRA, LoRA + MoE and MoR: nox -s ablate -- --preset sd21 --data DIR --dataset DRealSR."""
    install(session)
    passes(session, "isrbench", "tools", "ablate")


@nox.session
def tests(session: nox.Session) -> None:
    """The fast tests, in parallel; nox -s tests -- -m slow for the slow ones."""
    install(session, "test")
    chosen = any(a == "-m" or a.startswith("-m=") for a in session.posargs)
    fast = [] if chosen else ["-m", "not slow and not gpu"]
    session.run(
        "python", "-m", "pytest", "-n", "auto", "--dist", "worksteal", "--durations=10", *fast, *session.posargs
    )


@nox.session
def fuzz(session: nox.Session) -> None:
    """Hostile files at every reader, 50,000 cases, others at each call: nox -s fuzz, or nox -s fuzz -- 10000."""
    install(session, "test")
    env = {"ISRBENCH_FUZZ": session.posargs[0] if session.posargs else "50000"}
    session.run("python", "-m", "pytest", "-n", "auto", "--timeout=0", "tests/faults/test_fuzz.py", env=env)


@nox.session
def gpu(session: nox.Session) -> None:
    """The tests and benches that want a GPU: nox -s gpu -- --out gpu [--device cpu --size tiny for a dry run]."""
    install(session, "test")
    session.run("python", "tests/on_gpu.py", *(session.posargs or ["--out", "gpu"]))


@nox.session
def lint(session: nox.Session) -> None:
    """Style, by ruff; which package may import which, by import-linter; the Dockerfile, by hadolint."""
    session.install("-c", str(CONSTRAINTS), *nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check", *session.posargs, ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports", "--no-cache")
    session.run("hadolint", "Dockerfile")


@nox.session
def typecheck(session: nox.Session) -> None:
    """Types, by pyright."""
    install(session, "typecheck", "docs")
    session.run("pyright", *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Build sdist and wheel, install the wheel alone, and run it from another folder."""
    session.install("-c", str(CONSTRAINTS), *nox.project.dependency_groups(PROJECT, "build"))
    session.run("python", "-m", "build", "--no-isolation", "--outdir", "dist")
    wheel = max(Path("dist").glob("isrbench-*.whl"), key=lambda path: path.stat().st_mtime).resolve()
    session.install("-c", str(CONSTRAINTS), str(wheel))
    with session.chdir(session.create_tmp()):
        session.run("python", "-c", "import harness", success_codes=[1], silent=True)
        session.run("isrbench", "list", "datasets")
        session.run(
            "isrbench", "eval", "--method", "bicubic", "--dataset", "sample", "--limit", "2", "--metrics", "psnr,ssim"
        )


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation site into site/; a dead link, or a page that the site leaves out, is an error."""
    install(session, "docs")
    session.run("mkdocs", "build", *session.posargs, env={"NO_MKDOCS_2_WARNING": "1"})
