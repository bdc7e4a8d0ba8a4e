"""What restoring imports, and what a run's identity is made of: no training, no pretraining, no studies."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path

import pytest

from isrbench.harness.api.registry import methods
from isrbench.harness.identity import code_modules, import_closure, package_modules

FAMILY = ("mor", "osediff", "lora_moe")
PUBLISHED = ("pisa", "omgsr", "hypir", "s3diff")
"""Members that restore with their authors' weights and are not trained."""
APART = ("train", "pretrain")
"""Packages of ``onestep`` that take no part in restoring."""


METADATA = ("plugin", "training")


def is_apart(module: str) -> bool:
    """Whether a module must not take part in restoring an image."""
    parts = module.split(".")
    if parts[:2] != ["isrbench", "methods"] or len(parts) < 4:
        return parts[2:] == ["studies"]
    return parts[2] == "studies" or (parts[2] == "onestep" and parts[3] in APART) or parts[-1] in METADATA


@pytest.mark.parametrize("method", [*FAMILY, *PUBLISHED])
def test_a_run_s_identity_knows_no_training_no_benches_and_no_metadata(method):
    modules = code_modules(methods().get(method).build)
    home = f"isrbench.methods.{method}"
    assert {f"{home}.method", f"{home}.adapter", "isrbench.methods.onestep.base.diffusion"} <= set(modules)
    severity = {name.rpartition(".")[2] for name in modules if name.startswith("isrbench.harness.severity.")}
    assert severity == {"estimator", "dimensions", "spec", "clip", "weights", "fft", "spectrum"}, (
        "and not what fits or compares them"
    )
    assert not [module for module in modules if is_apart(module)]


@pytest.mark.parametrize("method", FAMILY)
def test_training_is_where_the_plugin_says(method):
    plugin = methods().get(method)
    assert plugin.train == f"isrbench.methods.{method}.training:train" and plugin.info.code == ()
    assert "isrbench.methods.onestep.train.run" in import_closure(f"isrbench.methods.{method}.training")


def test_the_family_knows_none_of_its_members():
    """Not even behind a lazy import; and OSEDiff, MoR and its mixture of LoRAs import in one direction."""
    members = {f"isrbench.methods.{name}" for name in (*FAMILY, *PUBLISHED, "studies")}
    for module in package_modules("isrbench"):
        if module.startswith("isrbench.methods.onestep"):
            names = {".".join(name.split(".")[:3]) for name in import_closure(module)}
            assert not names & members, module
    for name, unknown in (("mor", "lora_moe"), ("mor", "osediff"), ("osediff", "mor"), ("osediff", "lora_moe")):
        known = import_closure(f"isrbench.methods.{name}.training")
        assert not [module for module in known if module.startswith(f"isrbench.methods.{unknown}.")]


def test_no_module_of_a_restoration_imports_accelerate_itself():
    """diffusers and peft import it where it is installed; nothing of ours does."""
    for module in import_closure("isrbench.methods.mor.method"):
        spec = find_spec(module)
        assert spec is not None and spec.origin is not None
        tree = ast.walk(ast.parse(Path(spec.origin).read_text(encoding="utf-8")))
        named = [node.module or "" for node in tree if isinstance(node, ast.ImportFrom)]
        tree = ast.walk(ast.parse(Path(spec.origin).read_text(encoding="utf-8")))
        named += [alias.name for node in tree if isinstance(node, ast.Import) for alias in node.names]
        assert not [name for name in named if name.partition(".")[0] == "accelerate"], module
