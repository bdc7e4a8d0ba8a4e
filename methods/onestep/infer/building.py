"""How a one-step method is made of its base, its adapter file and its options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from isrbench.harness.api.method import Runtime
from isrbench.harness.api.speed import check_compiler, compile_networks
from isrbench.harness.errors import UserError, foreign
from isrbench.harness.severity.estimator import get_estimator
from isrbench.methods.onestep.adapter import Adapter, AdapterSpec, Estimators
from isrbench.methods.onestep.authors import weights_hash
from isrbench.methods.onestep.base.diffusion import DiffusionBase
from isrbench.methods.onestep.base.load import TINY, load_base
from isrbench.methods.onestep.checkpoint import AdapterCheckpoint, load_adapter
from isrbench.methods.onestep.infer.geometry import check_tile
from isrbench.methods.onestep.infer.method import OneStepMethod, Passes, one_pass
from isrbench.methods.onestep.infer.overrides import overrule, variant
from isrbench.methods.onestep.infer.prompts import OnePrompt, make_prompter, one_prompt
from isrbench.methods.onestep.infer.severities import FileSeverities
from isrbench.methods.onestep.infer.trained import SeverityEstimator, trained_colour_fix, trained_estimator
from isrbench.methods.onestep.options import MixtureOptions, OneStepOptions, RoutedOptions

Reader = Callable[[Path, DiffusionBase], AdapterCheckpoint]
"""Reads an adapter file for a base; raises UserError where it does not fit."""


def read_own(spec: AdapterSpec) -> Reader:
    """Return a reader of this project's own adapter files of one method."""
    return lambda path, base: load_adapter(path, method=spec.id, base=base.base_hash)


def build_method(
    options: OneStepOptions, runtime: Runtime, spec: AdapterSpec, read: Reader | None = None,
    estimators: Estimators = get_estimator, scores: SeverityEstimator | None = None,
    passes: Callable[[DiffusionBase, Adapter], Passes] | None = None,
) -> OneStepMethod:  # fmt: skip
    """Load base and adapter as the options say.

    Args:
        options: Checked options; a :class:`RoutedOptions` where the adapter routes.
        runtime: Scale and device.
        spec: The method's adapter.
        read: Reads the adapter file; None reads this project's own format.
        estimators: Where the severity estimator comes from.
        scores: What routes images where the method brings a network of its own for it; None = an estimator.
        passes: Makes the runs of the UNet from base and adapter, before the text encoder may go; None = a single one.

    Raises:
        UserError: If base, adapter, timestep, estimator or prompts do not fit or cannot be loaded, or nothing is here
            that compiles what is to be compiled.
    """
    if runtime.scale not in (1, 2, 3, 4):
        raise UserError(f"one-step methods restore at scales 1 to 4, not {runtime.scale}", "choose another dataset")
    path = options.adapter or shipped_adapter(spec, options.base)
    if not path.exists():  # before gigabytes are fetched
        raise UserError(f"the adapter file {path} does not exist", "check -o adapter=")
    if options.compile:
        check_compiler(runtime.device)
    base = load_base(options.base, runtime.device, options.dtype)
    if options.channels_last:  # before the adapter, whose folded weights lie as the base's
        base = base.to(base.device)
    if spec.prediction is not None:
        base = replace(base, prediction=spec.prediction)
    check_tile(options.tile, base.multiple // base.factor)
    if options.prompts not in ("adapter", "none") and not base.text.takes_text:
        raise UserError(f"base '{options.base}' has one fixed prompt and takes no text", "use -o prompts=none")
    checkpoint = (read or read_own(spec))(path, base)
    timestep = checkpoint.timestep if options.timestep is None else options.timestep
    if not 0 <= timestep < len(base.abar):
        raise UserError(f"timestep is {timestep}", f"choose one of 0 to {len(base.abar) - 1}")
    colour_fix = trained_colour_fix(options, checkpoint, path)
    with foreign(f"{path} does not fit", "fetch or train it again"):
        adapter = spec.attach(base.unet, base.vae, type(spec.default).from_json(checkpoint.config), 0)
        adapter.load_state_dict(checkpoint.state)
    adapter.for_inference(merge=options.merge)
    estimator = severities = None
    if isinstance(options, RoutedOptions):
        overrule(adapter, options, spec.id)
        severities = FileSeverities(options.severities) if options.severities else None
        if severities is None and not options.adapter_off:
            estimator = scores
            if isinstance(options, MixtureOptions):
                estimator = trained_estimator(options, checkpoint, path, runtime.device, estimators)
                estimator.load()
    prompt = one_prompt(options, checkpoint, path) if base.text.takes_text else ""
    prompter = make_prompter(options, prompt, runtime.device)
    runs = one_pass if passes is None else passes(base, adapter)
    if isinstance(prompter, OnePrompt):
        base.text.free(prompter.prompt)
    if options.compile:
        compile_networks(runtime.device, base.unet, base.vae.encoder, base.vae.decoder)
    return OneStepMethod(
        base, adapter, options, runtime, timestep, prompter, estimator, weights_hash(path, spec.files), colour_fix,
        variant(options), severities, runs,
    )  # fmt: skip


def shipped_adapter(spec: AdapterSpec, base: str) -> Path:
    """Return the path of the adapter of a method that ships for the tiny base.

    Raises:
        UserError: If none ships for this base.
    """
    if spec.source:
        raise UserError(f"{spec.id} needs its authors' adapter", f"get {spec.source}, and add -o adapter=FILE")
    if base != "tiny":
        raise UserError(f"no {spec.id} adapter ships for base '{base}'", "add -o adapter=FILE, or use -o base=tiny")
    return TINY / f"{spec.id}.safetensors"
