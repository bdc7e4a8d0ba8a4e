"""Fetching data sets: a zip on the hub, or a Hugging Face dataset, laid out as LR/HR folders of PNGs."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePath
from typing import Any

from isrbench.harness.api.dataset import Card
from isrbench.harness.data.find import data_roots
from isrbench.harness.data.unpack import extract
from isrbench.harness.errors import UserError
from isrbench.harness.files import is_full, is_there
from isrbench.harness.imaging.formats import IMAGE_SUFFIXES
from isrbench.harness.imaging.images import EXIF_ORIENTATION, other_kind
from isrbench.harness.imaging.opening import opened
from isrbench.harness.network import TOTAL_SECONDS, arrive, hub_folder, in_time, offline

log = logging.getLogger(__name__)


def fetch_dataset(card: Card, data_root: Path | None, accept_license: bool) -> Path:
    """Download a set into ``<data root>/<id>`` and return the folder, which appears only when it is whole.

    Args:
        card: What to fetch.
        data_root: The folder to put it in; None = ``$ISRBENCH_DATA`` or ``./data``.
        accept_license: Whether the user has accepted a non-commercial license.

    Raises:
        UserError: If the license is not accepted, nothing says where to fetch from, the place is taken or cannot
            be written, or the hub cannot be reached.
    """
    if card.root is not None:
        return card.root
    if card.archive is None and card.table is None:
        raise UserError(f"the card of {card.id} names no download", "add [archive] or [table] to it (docs/datasets.md)")
    if card.non_commercial and not accept_license:
        raise UserError(
            f"{card.id} comes under a license that you must accept first: {card.license} ({card.source})",
            f"read it, then: isrbench fetch datasets --dataset {card.id} --accept-license",
        )
    target = data_roots(data_root)[0] / card.id
    try:
        return _fetch_into(card, target, data_root)
    except OSError as error:
        fix = "make room, or choose" if is_full(error) else "choose"
        raise UserError(
            f"{target} cannot be written: {error.strerror or error}", f"{fix} a folder for it: --data-root DIR"
        ) from error


def _fetch_into(card: Card, target: Path, data_root: Path | None) -> Path:
    """Download a set to ``target``, which appears only when it is whole."""
    if target.parent.is_file():
        raise UserError(f"{target.parent} is a file, but a set is put into a folder", "give a folder: --data-root DIR")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target} exists already", f"move it away, or use it as it is: --data-root {target.parent}")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{card.id}-") as folder:
        staging = Path(folder) / card.id
        if card.archive is not None:
            with _hub_errors_are_clear(card, data_root):
                zip_path = _download(card)
            extract(zip_path, card.archive.folder, staging, card.archive.unpacked)
        else:
            if _is_local(card):
                table = _load_table(card)
            else:
                with _hub_errors_are_clear(card, data_root):
                    table = _load_table(card)
            write_table(card, table, staging)
        if target.exists():
            target.rmdir()
        staging.replace(target)
    return target


def write_table(card: Card, table: Any, target: Path) -> None:
    """Write a Hugging Face dataset's image columns as ``LR/<id>.png`` and ``HR/<id>.png``, losslessly.

    What is not 8-bit RGB is written as the file that it is, for :func:`~isrbench.harness.data.pairs.load_pairs` to say
    so: Pillow would write 16-bit colour as 8-bit, and leave a rotation out.

    Raises:
        UserError: If the card names a column that is not there or holds no images, two rows have one id, an id is
            not a plain file name, or an image cannot be read.
    """
    assert card.table is not None
    wanted = {"LR": card.table.lr, **({"HR": card.table.hr} if card.table.hr and card.has_hr is not False else {})}
    absent = [c for c in (*wanted.values(), card.table.id) if c is not None and c not in table.column_names]
    if absent:
        raise UserError(
            f"{card.table.path} has no column {absent[0]}; it has {', '.join(table.column_names)}",
            "correct [table] in the card",
        )
    digits, written = len(str(len(table))), set()
    for index, row in enumerate(undecoded(table, *wanted.values())):
        name = _plain_name(card, str(row[card.table.id])) if card.table.id else f"{index:0{digits}d}"
        for folder, column in wanted.items():
            path = target / folder / f"{name}.png"
            if path in written:
                raise UserError(
                    f"{card.table.path} has two rows with id {name}", "name another id column in the card's [table]"
                )
            value = row[column]
            if not hasattr(value, "save") and not (isinstance(value, Mapping) and {"bytes", "path"} <= value.keys()):
                found = type(value).__name__
                raise UserError(
                    f"{card.table.path} has no image in column {column}, row {name}, but a {found}",
                    "name a column of images in the card's [table]",
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_image(value, path, f"column {column}, row {name} of {card.table.path}")
            written.add(path)


def undecoded(rows: Any, *columns: str) -> Any:
    """Return rows of a Hugging Face dataset with image files' bytes in place of images.

    The library would open files of any format. A column of other things stays as it is.
    """
    import datasets

    for column in columns:
        if isinstance((rows.features or {}).get(column), datasets.Image):
            rows = rows.cast_column(column, datasets.Image(decode=False))
    return rows


def image_content(value: Mapping[str, Any]) -> bytes | Path:
    """Return what a cell of images holds that is not decoded (``datasets.Image(decode=False)``), or where it lies."""
    if value["bytes"] is not None:
        return value["bytes"]
    path = str(value["path"])
    if "::" not in path and "://" not in path:
        return Path(path)
    from datasets.utils.file_utils import xopen

    with xopen(path, "rb") as file:
        return file.read()


def _write_image(value: Any, path: Path, name: str) -> None:
    if not isinstance(value, Mapping):  # made by a script, not decoded from a file
        value.save(path)
        return
    content = image_content(value)
    whole = content if isinstance(content, bytes) else content.read_bytes()
    with opened(whole, name) as image:
        plain = not other_kind(image) and image.getexif().get(EXIF_ORIENTATION, 1) == 1
        image.load()
        picture, ending = image.copy(), str(image.format).lower()
    if plain:
        picture.save(path)
    else:
        path.with_suffix(f".{ending}").write_bytes(whole)


def _plain_name(card: Card, name: str) -> str:
    """Return the id as a file name: with a folder in it, it could be written anywhere; hidden, it would not be read.

    An image's ending is taken off: an image is called by its file's stem everywhere else.
    """
    ending = PurePath(name).suffix
    name = name.removesuffix(ending) if ending.lower() in IMAGE_SUFFIXES else name
    if name.startswith(".") or not name.strip() or any(c in name for c in "/\\:\0"):
        raise UserError(
            f"{card.table.path if card.table else card.id} has a row with the id '{name}', which cannot be a file name",
            "name another id column in the card's [table], or leave `id` out to number the rows",
        )
    return name


def _download(card: Card) -> Path:
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    assert card.archive is not None
    archive = card.archive
    if switch := offline():
        found = try_to_load_from_cache(archive.repo, archive.file, repo_type="dataset", revision=archive.revision)
        if isinstance(found, str):
            return Path(found)
        raise FileNotFoundError(switch)
    log.info("fetching %s of %s (%.1f GB)", archive.file, archive.repo, archive.gigabytes)
    download = partial(hf_hub_download, archive.repo, archive.file, repo_type="dataset", revision=archive.revision)
    return Path(arrive(hub_folder(archive.repo, "datasets"), download))


def _is_local(card: Card) -> bool:
    """Return whether a card's table is a folder on this machine.

    Raises:
        UserError: If it is written as one and is not there.
    """
    assert card.table is not None
    path = Path(card.table.path).expanduser()
    if is_there(path) and path.is_dir():
        return True
    if path.is_absolute() or card.table.path.startswith((".", "~")) or (is_there(path) and path.is_file()):
        what = "a file, but has to be a folder of Parquet files" if is_there(path) else "not there"
        raise UserError(f"the table of {card.id}, {path}, is {what}", "correct `path` in the card's [table]")
    return False


def _load_table(card: Card) -> Any:
    import datasets

    assert card.table is not None
    local = _is_local(card)
    if not local and (switch := offline()) == "ISRBENCH_OFFLINE":  # the hub's own switch allows what is in its cache
        raise FileNotFoundError(switch)
    path = str(Path(card.table.path).expanduser()) if local else card.table.path
    try:
        load = partial(datasets.load_dataset, path, split=card.table.split, revision=card.table.revision)
        # A library that also unpacks and converts shows no pace to hold it to.
        return load() if local else in_time(TOTAL_SECONDS, load, "it did not arrive")
    except ValueError as error:  # an unknown split, or a set of several configurations
        raise UserError(
            f"{card.table.path} cannot be loaded: {(str(error).splitlines() or [''])[0]}",
            "correct `path`, `split` or `revision` in the card's [table]",
        ) from error
    except Exception as error:
        if not local:
            raise
        # Whatever its readers raise: no network is asked.
        log.debug("reading %s failed", path, exc_info=True)
        said = (str(error.__cause__ or error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path} cannot be read as a table: {said}", "check its files, or copy them again") from error


@contextmanager
def _hub_errors_are_clear(card: Card, data_root: Path | None) -> Iterator[None]:
    by_hand = f"download {card.source} by hand, unpack it below {data_roots(data_root)[0]}, and use --data-root"
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        # Nothing but the download stands in the block, and what a failed one raises depends on the HTTP library that
        # this release of huggingface_hub uses.
        log.debug("fetching %s failed", card.id, exc_info=True)
        switch = offline()
        why = (
            f"{switch} is set" if switch else f"{type(error).__name__}: {(str(error).splitlines() or ['no answer'])[0]}"
        )
        raise UserError(
            f"{card.id} could not be fetched: {why}", f"unset it, or {by_hand}" if switch else by_hand
        ) from error
