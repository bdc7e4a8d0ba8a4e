"""Files of a method's authors: pickles read safely, LoRAs by peft's names, every entry used or refused by name."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from isrbench.harness.api.checkpoints import first_keys, without_wrappers
from isrbench.harness.api.tensor_files import read_tensors
from isrbench.harness.errors import UserError
from isrbench.harness.files import file_hash, is_there

_LORA = re.compile(r"(?P<module>.+?)\.lora_(?P<matrix>[AB])(?:\.(?P<adapter>[^.]+))?\.weight")


def load_pickle(path: Path, fix: str) -> dict[Any, Any]:
    """Read the dict that ``torch.save`` wrote; one that would run code is refused.

    Args:
        path: The file.
        fix: What to do about one that is not there or not the right one.

    Returns:
        Its content; ``module.`` or ``_orig_mod.`` before all names is taken off.

    Raises:
        UserError: If it is missing, no weights at all, damaged, holds code, or holds no dict.
    """
    if not is_there(path):
        raise UserError(f"the adapter file {path} does not exist", fix)
    return without_wrappers(read_tensors(path, fix))


def weights_hash(path: Path, files: Iterable[str] = ()) -> str:
    """Return the sha256 of a file, or of the names and contents of those files of a folder that are read."""
    if path.is_file():
        return file_hash(path)
    named = [f"{file} {file_hash(path / file)}" for file in sorted(files)]
    return hashlib.sha256("\n".join(named).encode()).hexdigest()


def check_keys(path: Path, content: Mapping[Any, Any], expected: Iterable[str], fix: str) -> None:
    """Check that a file's dict has exactly the expected keys.

    Raises:
        UserError: Naming the first that is missing or unknown.
    """
    wanted = set(expected)
    for key in sorted(wanted):
        if key not in content:
            raise UserError(f"{path} has no '{key}'; its first names: {first_keys(content)}", fix)
    for key in content:
        if key not in wanted:
            raise UserError(f"{path} has an unknown entry {key!r}", fix)


def lora_rank(path: Path, key: str, value: Any, fix: str) -> int:
    """Return a LoRA's rank as the file says it.

    Raises:
        UserError: If it is no positive whole number.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f"{path} has {key} {value!r}, which is not a rank", fix)
    return value


def lora_matrices(path: Path, state: Any, fix: str, prefix: str = "") -> dict[str, dict[str, dict[str, Tensor]]]:
    """Sort a LoRA's tensors by adapter and module.

    Args:
        path: The file, for messages.
        state: Its tensors as peft names them: ``MODULE.lora_A.ADAPTER.weight`` and ``MODULE.lora_B.ADAPTER.weight``, or
            without an adapter's name.
        fix: What to do about a file that does not fit.
        prefix: What every name begins with.

    Returns:
        By adapter ("" without a name) and module: float32 tensors ``A`` and ``B``.

    Raises:
        UserError: Naming the first entry that is no tensor of numbers or no LoRA's, or whose other half is missing.
    """
    if not isinstance(state, dict):
        raise UserError(f"{path} has a {type(state).__name__} where a dict of tensors belongs", fix)
    found: dict[str, dict[str, dict[str, Tensor]]] = {}
    for name, tensor in without_wrappers(state).items():
        if not (isinstance(name, str) and isinstance(tensor, Tensor) and tensor.is_floating_point()):
            raise UserError(f"{path} has an entry {name!r} that is not a tensor of numbers", fix)
        match = _LORA.fullmatch(name.removeprefix(prefix))
        if not (name.startswith(prefix) and match):
            raise UserError(f"{path} has an unexpected tensor '{name}'", fix)
        modules = found.setdefault(match["adapter"] or "", {})
        modules.setdefault(match["module"], {})[match["matrix"]] = tensor.float()
    for modules in found.values():
        for module, matrices in modules.items():
            if len(matrices) != 2:
                raise UserError(f"{path} has only half a LoRA (lora_{''.join(matrices)}) of '{module}'", fix)
    return found


def check_modules(
    path: Path, part: str, found: Iterable[str], wanted: Iterable[str],
    base: str = "sd21, or a folder with Stable Diffusion 2.1-base",
) -> None:  # fmt: skip
    """Check that a file's LoRA sits on exactly the modules that its method adapts.

    Args:
        path: The file, for messages.
        part: Which network, for messages.
        found: Modules that the file has a LoRA of.
        wanted: Modules that have to have one.
        base: What ``-o base=`` has to be.

    Raises:
        UserError: Naming the first that differs.
    """
    strange = sorted(set(found) ^ set(wanted))
    if strange:
        raise UserError(
            f"{path} is for another base: its {part} modules and this base's differ, first at '{strange[0]}'",
            f"pass -o base={base}",
        )
