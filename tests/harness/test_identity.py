"""Identities: what is in them, what is not, and that nothing which decides a pixel or a value is left out."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch

from isrbench.harness.api.registry import methods, metrics
from isrbench.harness.engine.plan import RESTORING
from isrbench.harness.identity import code_hash, code_modules, image_seed, import_closure, package_modules, tensors_hash
from isrbench.harness.metrics.version import SCORING
from isrbench.methods.onestep.checkpoint import load_adapter
from tests.support.paths import ROOT


def package(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def acme(tmp_path: Path, monkeypatch) -> Path:
    package(tmp_path, acme__init="", acme__core="x = 1\n", acme__plugins__sr="def build(): ...\n")
    (tmp_path / "acme/init.py").rename(tmp_path / "acme/__init__.py")
    (tmp_path / "acme/plugins/__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path / "acme"


def edited(path: Path, text: str) -> str:
    """Write a file, some time after it was written last, and return the hash of its package."""
    changed = path.stat().st_mtime_ns + 10**9 if path.is_file() else None
    path.write_text(text)
    if changed:
        os.utime(path, ns=(changed, changed))
    return code_hash(package_modules("acme"))


def test_code_counts_and_comments_do_not(acme: Path) -> None:
    first = code_hash(package_modules("acme"))
    assert edited(acme / "core.py", '"""A docstring."""\n\n# a comment\nx = 1  # another\n') == first
    assert edited(acme / "core.py", "x = '# no comment'\n") != first
    assert edited(acme / "core.py", "x = 2\n") != first
    assert edited(acme / "core.py", "x = 1\n") == first


def test_an_edited_module_is_read_again(acme: Path) -> None:
    """As in a notebook, where a module is edited and reloaded."""
    first, closure = code_hash(["acme.core"]), import_closure("acme.plugins.sr")
    assert "acme.core" not in closure and import_closure("acme.plugins.sr") == closure
    edited(acme / "core.py", "x = 2\n")
    assert code_hash(["acme.core"]) != first
    edited(acme / "plugins/sr.py", "from acme.core import x\nfrom . import late\n")
    assert set(import_closure("acme.plugins.sr")) - set(closure) == {"acme.core"}
    edited(acme / "plugins/late.py", "")
    assert "acme.plugins.late" in import_closure("acme.plugins.sr"), "an import that has found its module since"
    (acme / "core.py").unlink()
    assert "acme.core" not in import_closure("acme.plugins.sr")


def test_what_does_not_parse_counts_by_its_bytes(acme: Path) -> None:
    """A template that a plugin fills in, say; it may lie where no import reaches."""
    for name in ("template.py", "a-template.py", "folder.d/of.template.py"):
        (acme / name).parent.mkdir(exist_ok=True)
        first = edited(acme / name, "class {{ name }}: # a\n")
        assert edited(acme / name, "class {{ name }}: # b\n") != first, name
    assert import_closure("acme.template") == ("acme", "acme.template")
    assert edited(acme / "latin.py", "# coding: latin-1\nx = 1\n") and "acme:a-template.py" in package_modules("acme")


def test_a_build_in_a_namespace_package(acme: Path) -> None:
    """Of a package that others share, what is imported counts, and the package in it that defines the function."""
    (acme / "__init__.py").unlink()
    package(acme, plugins__near="", others="", lone="from acme import core\ndef build(): ...\n")
    (acme / "plugins/sr.py").write_text("from acme.core import x\ndef build(): ...\n")
    build = types.FunctionType((lambda: None).__code__, {})
    build.__module__ = "acme.plugins.sr"
    assert code_modules(build) == ("acme.core", "acme.plugins", "acme.plugins.near", "acme.plugins.sr")
    build.__module__ = "acme.lone"
    assert code_modules(build) == ("acme.core", "acme.lone")
    assert code_hash(code_modules(build)) and code_modules("acme.lone:build") == ("acme.core", "acme.lone")
    whole = package_modules("acme")
    assert whole == ("acme.core", "acme.lone", "acme.others", "acme.plugins", "acme.plugins.near", "acme.plugins.sr")
    assert code_hash(whole)


def test_a_missing_module_is_an_error_and_never_left_out(acme: Path) -> None:
    (acme / "core.py").unlink()
    with pytest.raises(ModuleNotFoundError, match=r"acme\.core"):
        code_hash(["acme.core"])
    with pytest.raises(ModuleNotFoundError, match="no_such"):
        code_modules("no_such.module:build")


def test_imports_are_followed_wherever_they_stand_and_those_for_type_checkers_are_not(acme: Path) -> None:
    (acme / "plugins/sr.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from acme.typed import T\n"
        "def build():\n    from acme import core\n    from . import near\n    import torch\n"
    )
    for name in ("typed", "plugins/near"):
        (acme / f"{name}.py").write_text("")
    assert import_closure("acme.plugins.sr") == (
        "acme", "acme.core", "acme.plugins", "acme.plugins.near", "acme.plugins.sr"
    )  # fmt: skip
    ours = import_closure("isrbench.harness.imaging.images")
    assert "isrbench.harness.files" in ours and "isrbench" not in ours


@pytest.mark.parametrize("kind", ["function", "partial", "object", "text"])
def test_the_code_behind_a_plugin(kind: str, acme: Path) -> None:
    build = types.FunctionType((lambda: None).__code__, {})
    build.__module__ = "acme.plugins.sr"
    made = {
        "function": build,
        "partial": functools.partial(build, 1),
        "object": type("Builder", (), {"__module__": "acme.plugins.sr", "__call__": lambda self: None})(),
        "text": "acme.plugins.sr:build",
    }[kind]
    whole = ("acme", "acme.core", "acme.plugins", "acme.plugins.sr")
    assert code_modules(made) == (("acme", "acme.plugins", "acme.plugins.sr") if kind == "text" else whole)


def test_tensors_are_hashed_whole() -> None:
    values = torch.arange(1000.0)
    first = tensors_hash({"w": values})
    permuted = values[torch.randperm(1000, generator=torch.Generator().manual_seed(0))]
    assert tensors_hash({"w": permuted}) != first != tensors_hash({"v": values})
    assert tensors_hash({"w": values.view(10, 100)}) != first
    half = tensors_hash({"w": values}, half=True)
    assert half == tensors_hash({"w": values.half()}, half=True) != tensors_hash({"w": values.half() + 1}, half=True)
    assert tensors_hash({"a": values, "b": permuted}) == tensors_hash({"b": permuted, "a": values})
    assert tensors_hash({"e": torch.empty(0), "s": torch.tensor(1.0)})


def test_seeds_depend_on_the_image_not_on_its_place() -> None:
    assert image_seed(0, "a") == image_seed(0, "a") != image_seed(0, "b")
    assert image_seed(1, "a") != image_seed(0, "a") and 0 <= image_seed(0, "a") < 2**63


def ours(modules: object) -> set[str]:
    return {name for name in modules if name.startswith("isrbench.")}


def loaded(script: str, **environment: str) -> set[str]:
    """Modules that a fresh process has loaded after ``script``."""
    code = f"{script}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=300,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def outside(found: set[str], known: set[str], never: tuple[str, ...]) -> set[str]:
    covered = known | {m for m in found if m in never or m.startswith(tuple(f"{n}." for n in never))}
    return found - covered


@pytest.mark.parametrize(
    "method", ["bicubic", "mor", *(pytest.param(m, marks=pytest.mark.slow) for m in ("osediff", "lora_moe"))]
)
def test_whatever_takes_part_in_restoring_an_image_is_in_the_identity(method: str) -> None:
    """Run it: every module of ours that is loaded by then is in the identity, or on the list of those that cannot.

    With no vector unit at all, the furthest from this machine's own: the noise schedule is rounded differently there,
    and the shipped adapters, which know their base by its hash, must fit it all the same.
    """
    script = (
        "from isrbench.harness.engine.restoring import restore_pixels\n"
        "from isrbench.harness.api.registry import methods\nfrom isrbench.harness.api.method import Runtime\n"
        f"import numpy as np\nplugin = methods().get({method!r})\n"
        "method = plugin.make(plugin.options(), Runtime(scale=4, device='cpu'))\n"
        "pixels, trace = restore_pixels(method, np.zeros((24, 24, 3), np.uint8), 'x', 0, 4)\n"
        f"assert pixels.shape == (96, 96, 3) and (trace is not None) == {method in ('mor', 'lora_moe')}\n"
    )
    if method == "mor":
        adapter = load_adapter(ROOT / "methods/onestep/weights/tiny/mor.safetensors", method=method)
        script += f"assert method.base.base_hash == {adapter.base!r}"
    plugin = methods().get(method)
    known = {*import_closure(RESTORING), *code_modules(plugin.build)}
    everything = loaded(script, ATEN_CPU_CAPABILITY="default")
    assert not {"pyiqa", "pandas"} & everything, "restoring scores nothing and tabulates nothing"
    found = ours(everything)
    named = {name for name in found if name.endswith(".plugin")}
    # They find the plugin and read its options; both the target they find and the options are in the identity.
    never = ("isrbench.harness.api.options", "isrbench.harness.api.registry")
    strays = outside(found - named, known, never)
    # A plugin module is loaded for its title and citation.
    assert not strays, strays
    own = f"isrbench.methods.{'classical' if method == 'bicubic' else method}.plugin"
    assert own in named and named <= {own, *import_closure(own)}, "no plugin but the one that runs, and whom it cites"
    assert not {m for m in known if {"train", "training", "pretrain", "studies", "reports", "cli"} & set(m.split("."))}
    assert not named & known


@pytest.mark.parametrize("metric", ["psnr", pytest.param("piqe", marks=pytest.mark.slow)])
def test_whatever_takes_part_in_scoring_an_image_is_in_the_version(metric: str, tmp_path: Path) -> None:
    script = (
        "import numpy as np\nfrom pathlib import Path\nfrom isrbench.harness.metrics.scorer import Scorer\n"
        "from isrbench.harness.imaging.images import write_png\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)\n"
        "write_png(folder / 'a.png', pixels); write_png(folder / 'b.png', pixels // 2)\n"
        f"score, = Scorer([{metric!r}]).score(folder / 'a.png', folder / 'b.png')\nassert score.value is not None"
    )
    known = {*code_modules(metrics().get(metric).build)}
    for module in SCORING:
        known.update(import_closure(module))
    bookkeeping = (
        "isrbench.harness.metrics.scorer", "isrbench.harness.metrics.version", "isrbench.harness.metrics.weights",
        "isrbench.harness.metrics.builtin", "isrbench.harness.metrics.learned", "isrbench.harness.metrics.sets",
        "isrbench.harness.api.records",
        "isrbench.harness.network", "isrbench.harness.identity", "isrbench.harness.source", "isrbench.harness.metrics",
        "isrbench.harness.api.download", "isrbench.harness.api.registry",
        # They refuse files; what a metric reads is in its version by its hash.
        "isrbench.harness.api.tensor_files", "isrbench.harness.api.zips",
    )  # fmt: skip
    strays = outside(ours(loaded(script)), known, bookkeeping)
    assert not strays, strays


NOBODYS = (
    "isrbench/studies/routing.py", "isrbench/studies/arms.py",
    "harness/cli/main.py", "harness/engine/evaluate.py", "harness/store/store.py", "harness/data/synthetic.py",
    "reports/report.py", "methods/studies/bench_training.py", "methods/studies/ablation.py",
    "methods/onestep/train/run.py", "methods/onestep/train/losses.py", "methods/onestep/pretrain/unet.py",
    "methods/mor/plugin.py", "methods/osediff/plugin.py", "methods/classical/plugin.py", "harness/metrics/builtin.py",
    "harness/metrics/learned.py",
)  # fmt: skip


def test_benches_training_citations_and_reports_are_in_nobodys_identity(tmp_path: Path) -> None:
    """Edit each in a copy of the tree: every method's code and every metric's version stay what they were."""
    import shutil

    copy = tmp_path / "copy"
    for folder in ("harness", "methods", "reports", "isrbench"):
        skip = shutil.ignore_patterns("*.safetensors", "__pycache__", "*.png", *(("harness", "methods", "reports",
                                      "datasets") if folder == "isrbench" else ()))  # fmt: skip
        shutil.copytree(ROOT / folder, copy / folder, ignore=skip, symlinks=True)
    for folder in ("harness", "methods", "reports"):
        (copy / "isrbench" / folder).symlink_to(f"../{folder}")
    script = (
        "from isrbench.harness.api.registry import methods, metrics\nfrom isrbench.harness.engine.plan import "
        "code_version\nfrom isrbench.harness.metrics.version import version_of\nimport isrbench\n"
        f"assert isrbench.__file__.startswith({str(copy)!r}), isrbench.__file__\n"
        "for id in methods(): print(id, code_version(methods().get(id)))\n"
        "for id in metrics(): print(id, version_of(metrics().get(id)).code)"
    )

    def identities() -> list[str]:
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, cwd=copy, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    before = identities()
    for name in NOBODYS:
        path = copy / name
        path.write_text(path.read_text() + "\n_edited = 1\n")
    assert identities() == before
    images = copy / "harness/imaging/images.py"
    images.write_text(images.read_text() + "\n_edited = 1\n")
    assert not set(identities()) & set(before), "what reads every image is in every identity"
