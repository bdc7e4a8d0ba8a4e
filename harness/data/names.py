"""How public sets name the two files of an image: ``0801x4.png`` for ``0801.png``, ``a_LR4.png`` for ``a_HR.png``."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from isrbench.harness.errors import UserError
from isrbench.harness.files import some
from isrbench.harness.imaging.formats import is_image, kind_of

_PASSED_OVER = frozenset({"thumbs.db", "desktop.ini", "__macosx", "@eadir"})
"""What operating systems leave in folders, in lower case."""
_LR_WORDS = r"x\d+[a-z]?|\d+x|lr\d*|lr(?:bi|bd|dn)|lq|low|input|bicubic|srf[_-]?\d+"
_HR_WORDS = r"x1|hr\d*|gt|hq|high|target|srf[_-]?\d+"
_GAP = r"[_\-. ]*"
_LR_TAG = re.compile(rf"({_GAP}({_LR_WORDS}){_GAP})+", re.IGNORECASE)
_HR_TAG = re.compile(rf"({_GAP}({_HR_WORDS}){_GAP})*", re.IGNORECASE)
_END_IN_ONE_FOLDER = re.compile(r"[_\-. ]((?P<lr>lr\d*|lq|low|input)|hr\d*|gt|hq|high|target)$", re.IGNORECASE)
"""Words that say which of a pair a file is; ``x4`` does not, since results are called so too."""
_LR_FOLDER = re.compile(r"(lr|lq|low|input)(bi|bic|bicubic)?x?")
_HR_FOLDER = re.compile(r"(hr|hq|gt|high|target|original)(mod)?x?")
"""Words of a folder's name, in lower case and without digits: ``LRbicx4`` and ``GTmod12``, ``DIV2K_valid_HR``."""
_SCALE_AT_END = re.compile(r"[_\-. ]?(x\d+|\d+x)$", re.IGNORECASE)


@dataclass(frozen=True, order=True)
class Names:
    """What the LR and the HR file of an image are called: below their folder, without the ending, ``{}`` for the id."""

    lr: str = "{}"
    hr: str = "{}"

    @property
    def as_card(self) -> str:
        """Return the lines that say so in a card."""
        return f'lr_name = "{self.lr}", hr_name = "{self.hr}"'


def files_by_stem(folder: Path, *, below: bool = True) -> dict[str, Path]:
    """Return the images of a folder by their path below it, without the ending, in Unicode's form NFC.

    Args:
        folder: Where to look. Hidden files and what operating systems leave behind are passed over.
        below: Whether sub-folders belong to it, so that ``001/0.png`` is ``001/0``.

    Raises:
        UserError: If a name is not UTF-8, a file is not an image, or two have one stem.
    """
    found: dict[str, Path] = {}
    for path in _files(folder, below, ()):
        refuse_odd_name(path)
        if not is_image(path):
            kind = kind_of(path)
            raise UserError(
                f"{path} is not an image file" if kind is None else f"{path} is {kind.name}; it is not opened",
                "move it out of the folder" if kind is None or not kind.picture else "save it as PNG, or move it out",
            )
        stem = unicodedata.normalize("NFC", path.relative_to(folder).with_suffix("").as_posix())
        if stem in found:
            raise UserError(f"{found[stem]} and {path.name} have the same stem", "keep one of the two")
        found[stem] = path
    return found


def _files(folder: Path, below: bool, above: tuple[Path, ...]) -> Iterator[Path]:
    """Yield the files of a folder, through links too; ``above`` ends loops."""
    real = folder.resolve()
    if real in above:
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name.lower() in _PASSED_OVER:
            continue
        if not path.is_dir():
            yield path
        elif below:
            yield from _files(path, below, (*above, real))


def refuse_odd_name(path: Path) -> None:
    """Refuse a path that is not UTF-8, as old archives leave behind: no row and no manifest could hold it.

    Raises:
        UserError: If a name in the path cannot be read.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        # Backslashes stand for the bytes: this text is itself printed and stored.
        shown = str(path).encode("utf-8", "backslashreplace").decode()
        raise UserError(
            f"the name of {shown} is not UTF-8", "rename it, for example: convmv -f latin1 -t utf8 --notest FILE"
        ) from None


def image_id(stem: str, pattern: str) -> str | None:
    """Return what ``{}`` stands for in a file's name, or None where the pattern does not fit."""
    head, _, tail = pattern.partition("{}")
    fits = stem.startswith(head) and stem.endswith(tail) and len(stem) > len(head) + len(tail)
    return stem[len(head) : len(stem) - len(tail)] if fits else None


def names_of_two_folders(lr: Collection[str], hr: Collection[str]) -> tuple[Names | None, Names | None]:
    """Find out how two folders name their files.

    Args:
        lr: Stems of the LR folder.
        hr: Stems of the HR folder.

    Returns:
        The shortest names that pair up all files, if what tells LR from HR are words of the field (``x4``, ``LR``,
        ``HR``, ``GT``, ...); and the shortest by any words, for a message.
    """
    lrs, hrs = set(lr), set(hr)
    if lrs == hrs:
        return Names(), None
    if not lrs or len(lrs) != len(hrs):
        return None, None
    first = min(lrs)
    tried = {names for other in hrs for names in (*_by_end(first, other), *_by_start(first, other))}
    fits = sorted(names for names in tried if _pairs_up(lrs, hrs, names))
    fits.sort(key=lambda names: len(names.lr) + len(names.hr))
    known = [names for names in fits if _tag(_LR_TAG, names.lr) and _tag(_HR_TAG, names.hr)]
    return next(iter(known), None), next(iter(fits), None)


def lr_and_hr_folders(names: Collection[str]) -> tuple[list[str], list[str]]:
    """Return those folders of which a word says that they hold LR images, and those of HR images, sorted."""
    words = {name: [word for word in re.split("[^a-z]+", name.lower()) if word] for name in names}
    lr = {name for name, own in words.items() if any(map(_LR_FOLDER.fullmatch, own))}
    hr = {name for name, own in words.items() if any(map(_HR_FOLDER.fullmatch, own))}
    return sorted(lr - hr), sorted(hr - lr)


def names_in_one_folder(stems: Collection[str]) -> Names | None:
    """Find out whether a folder holds LR and HR images side by side, told apart by the last word of their names.

    Returns:
        The names; None where nothing says that the folder holds pairs.

    Raises:
        UserError: If it holds some, but a file has no partner, there are several kinds of LR, or ``a.png`` lies beside
            ``a_x4.png``, which may be its HR or a result.
    """
    ends: dict[str, set[str]] = {}
    lr_ends: set[str] = set()
    for stem in stems:
        found = _END_IN_ONE_FOLDER.search(stem)
        if found:
            ends.setdefault(found[0], set()).add(stem[: found.start()])
            lr_ends |= {found[0]} if found["lr"] else set()
    pairs = [(low, high) for low in lr_ends for high in ends.keys() - lr_ends if ends[low] & ends[high]]
    if not pairs:
        _refuse_scales(stems)
        return None
    low, high = min(pairs)
    names = Names(f"{{}}{low}", f"{{}}{high}")
    whole = ends[low] & ends[high]
    others = sorted(set(stems) - {id + end for id in whole for end in (low, high)})
    if others:
        first = min(whole)
        raise UserError(
            f"one folder holds pairs such as {first}{low} and {first}{high}, and others: {some(others)}",
            "leave these pairs alone in it: move what is another kind out, or add the file that a pair lacks",
        )
    return names


def _refuse_scales(stems: Collection[str]) -> None:
    """Refuse a folder that holds both ``a`` and ``a_x4``."""
    there = set(stems)
    for stem in sorted(there):
        found = _SCALE_AT_END.search(stem)
        if found and stem[: found.start()] in there:
            raise UserError(
                f"one folder holds both {stem[: found.start()]} and {stem}: nothing says which is the LR image",
                "move one kind to LR/ and the other to HR/",
            )


def _by_end(lr: str, hr: str) -> list[Names]:
    return [Names(f"{{}}{lr[same:]}", f"{{}}{hr[same:]}") for same in _shared(lr, hr)]


def _by_start(lr: str, hr: str) -> list[Names]:
    shared = _shared(lr[::-1], hr[::-1])
    return [Names(f"{lr[: len(lr) - same]}{{}}", f"{hr[: len(hr) - same]}{{}}") for same in shared]


def _shared(a: str, b: str) -> set[int]:
    """Return how many letters two names may begin with in common: all that are, and whole words (LR_a, HR_a)."""
    same = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    words = re.search(r".*(?=[_\-. ])", a[:same])
    return {len(a[:same].rstrip("_-. ")), len(words[0].rstrip("_-. ")) if words else 0}


def _pairs_up(lr: set[str], hr: set[str], names: Names) -> bool:
    sides = ((lr, names.lr), (hr, names.hr))
    # Most names that are tried fail at the first stems, in a set of thousands too.
    fits = all(image_id(stem, pattern) is not None for stems, pattern in sides for stem in stems)
    return fits and {image_id(s, names.lr) for s in lr} == {image_id(s, names.hr) for s in hr}


def _tag(words: re.Pattern[str], pattern: str) -> bool:
    return words.fullmatch(pattern.replace("{}", "")) is not None
