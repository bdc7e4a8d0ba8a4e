"""Write the prompts of photos that training takes as ``data.prompts``: zero-shot CLIP tags.

isrbench tools tags --data LSDIR FFHQ:10000 --out prompts.tsv
isrbench train --method osediff --preset sd21-osediff --data LSDIR FFHQ:10000 data.prompts=prompts.tsv --out trained/

OSEDiff tags with RAM, whose vocabulary is larger; a file of RAM's tags in the same format will do as well.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import torch

from isrbench.harness.api.options import positive
from isrbench.harness.errors import UserError
from isrbench.harness.files import refuse_to_replace, replacing
from isrbench.harness.imaging.images import to_tensor
from isrbench.harness.imaging.photos import read_photo
from isrbench.methods.onestep.infer.prompts import TAGS, Prompter, load_tagger
from isrbench.methods.onestep.train.photos import Photo, find_photos
from isrbench.methods.onestep.train.prompts import check_names

log = logging.getLogger(__name__)

FLOOR = 0.1
"""Tags that are less than a tenth as likely as the best say nothing about the photo."""
_TELL_EVERY = 1000


def lines_of(photos: Iterable[Photo], prompter: Prompter) -> Iterator[str]:
    """Yield each photo's line, ``image<TAB>prompt``; a photo that is named twice gets one.

    Raises:
        UserError: If a photo cannot be read, or its name has a tab or an end of line in it.
    """
    for name, path in {photo.name: photo.path for photo in photos}.items():
        if "\t" in name or len(name.splitlines()) > 1:
            raise UserError(f"{path} has a tab or an end of line in its name", "rename it")
        yield f"{name}\t{prompter(name, to_tensor(read_photo(path)))}\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Write the file of prompts; returns 0.

    Raises:
        UserError: If the photos, the model or the tag list do not fit, or the file is there already.
    """
    parser = argparse.ArgumentParser(
        prog="isrbench tools tags", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", required=True, help="as isrbench train takes it")
    parser.add_argument("--out", type=Path, required=True, help="the file of lines image<TAB>prompt")
    parser.add_argument("--model", default="ViT-B-32/laion2b_s34b_b79k", help="open_clip MODEL/WEIGHTS or folder")
    parser.add_argument("--tag-list", type=Path, default=TAGS, help="TOML file with template and tags")
    parser.add_argument("--count", type=positive, default=5, help="the most tags of a photo")
    parser.add_argument("--floor", type=float, default=FLOOR, help="least probability, in terms of the best tag's")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = parser.parse_args(argv)
    if not 0 <= given.floor <= 1:
        raise UserError(f"--floor is {given.floor}", "choose one of 0 (any tag) to 1 (the best alone)")
    logging.basicConfig(format="%(message)s")
    log.setLevel(logging.INFO)
    refuse_to_replace([given.out], "pass another --out, or move it away")
    photos = find_photos(given.data)
    check_names(photos)
    tagger = load_tagger(given.model, given.tag_list, given.count, given.device, given.floor)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(given.out) as partial, partial.open("w", encoding="utf-8") as file:
        for number, line in enumerate(lines_of(photos, tagger), start=1):
            file.write(line)
            if number % _TELL_EVERY == 0:
                log.info("%d of %d photos", number, len(photos))
    log.info("%s\nuse it: isrbench train ... data.prompts=%s", given.out, given.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
