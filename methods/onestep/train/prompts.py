"""The prompts of training photos, from a file of the format that restoring reads too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from isrbench.harness.errors import UserError
from isrbench.methods.onestep.infer.prompts import read_prompts
from isrbench.methods.onestep.train.photos import Photo


def prompts_of(photos: Sequence[Photo], file: Path) -> list[str]:
    """Return each photo's prompt; lines for other images are passed over.

    Args:
        photos: What is trained on.
        file: Lines ``image<TAB>prompt``; an image is a photo's name or, where no line has that, its name and ending.

    Raises:
        UserError: If the file cannot be read, two lines or two photos have one name, or photos have no line.
    """
    known = read_prompts(file)
    check_names(photos)
    found = [known.get(photo.name, known.get(photo.name + photo.path.suffix)) for photo in photos]
    lacking = [photo.name for photo, prompt in zip(photos, found, strict=True) if prompt is None]
    if lacking:
        raise UserError(
            f"prompt file {file} has no line for {len(lacking)} of {len(photos)} photos, the first is '{lacking[0]}'",
            f"add: {lacking[0]}<TAB>prompt, or make the file with isrbench tools tags",
        )
    return [prompt for prompt in found if prompt is not None]


def check_names(photos: Sequence[Photo]) -> None:
    """Refuse two photos of one name, which a file of prompts cannot tell apart.

    Raises:
        UserError: Naming the first two.
    """
    known: dict[str, Path] = {}
    for photo in photos:
        if known.setdefault(photo.name, photo.path) != photo.path:
            raise UserError(
                f"prompts cannot tell {known[photo.name]} from {photo.path}: both are '{photo.name}'",
                "rename one, or pass a folder above both with --data",
            )
