"""The prompts of training photos, from a file of the format that restoring reads too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from isrbench.harness.errors import UserError
from isrbench.harness.files import IMAGE_SUFFIXES
from isrbench.methods.onestep.infer.prompts import read_prompts
from isrbench.methods.onestep.train.photos import Photo


def prompts_of(photos: Sequence[Photo], file: Path) -> list[str]:
    """Return each photo's prompt; lines for other images are passed over.

    Args:
        photos: What is trained on.
        file: Lines ``image<TAB>prompt``; an image is a photo's name, with or without the file's ending.

    Raises:
        UserError: If the file cannot be read, two lines or two photos have one name, or photos have no line.
    """
    prompts: dict[str, str] = {}
    for image, prompt in read_prompts(file).items():
        path = PurePosixPath(image)
        name = str(path.with_suffix("") if path.suffix.lower() in IMAGE_SUFFIXES else path)
        if name in prompts:
            raise UserError(f"prompt file {file} names '{name}' a second time", "keep one line for each image")
        prompts[name] = prompt
    check_names(photos)
    lacking = [photo.name for photo in photos if photo.name not in prompts]
    if lacking:
        raise UserError(
            f"prompt file {file} has no line for {len(lacking)} of {len(photos)} photos, the first is '{lacking[0]}'",
            f"add: {lacking[0]}<TAB>prompt, or make the file with isrbench tools tags",
        )
    return [prompts[photo.name] for photo in photos]


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
