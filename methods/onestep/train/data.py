"""Training data: photos from folders or a Hugging Face dataset, degraded on the fly.

Item n of a run is a pure function of the seed and n, whatever the loader processes, the batch, the number of
processes or the step at which a run was resumed. (A streamed dataset is drawn in its shuffled order instead.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
import torch.multiprocessing
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from isrbench.harness.data.fetch import image_content, undecoded
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import tell_notes
from isrbench.harness.imaging.opening import PHOTO_PIXELS, opened
from isrbench.harness.imaging.photos import check_photo, photo_pixels, read_photo
from isrbench.methods.onestep.train.config import Data
from isrbench.methods.onestep.train.degrade import SCALE, check_degradations, make_lr
from isrbench.methods.onestep.train.draws import stream
from isrbench.methods.onestep.train.photos import Source, find_photos, photos_of
from isrbench.methods.onestep.train.prompts import prompts_of

_PAIR = 11
_NAMED = 5
"""How many unsuitable photos a message names."""
_HUB_FIX = "save the dataset's images as 8-bit RGB files, and pass their folder as --data"


class Batch(NamedTuple):
    """Pairs of one micro-batch."""

    hr: Tensor
    """float32 (B, 3, H, W) in [0, 1]."""
    lr: Tensor
    """float32 (B, 3, H / 4, W / 4) in [0, 1]."""
    severity_window: Tensor
    """float32 (B, 3, h, w) in [0, 1]: the LR that the severity is estimated from; contains ``lr``."""
    items: Tensor
    """int64 (B,): the items' numbers, from which all further randomness of their training step is drawn."""


def find_images(folders: Iterable[Path]) -> list[Path]:
    """Return the image files below ``folders`` in a stable order.

    Raises:
        UserError: If a folder is missing or holds no image.
    """
    return [photo.path for folder in folders for photo in photos_of(Source(folder))]


def random_crop(image: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Cut a random ``size`` x ``size`` window, mirrored left to right half the time; small images are reflected first.

    Args:
        image: uint8 (H, W, 3).
        size: Side of the window in pixels.
        rng: Where the position and the mirroring come from.

    Returns:
        uint8 (size, size, 3), a contiguous copy.
    """
    short = [max(0, size - side) for side in image.shape[:2]]
    if any(short):
        image = np.pad(image, ((0, short[0]), (0, short[1]), (0, 0)), mode="symmetric")
    top = int(rng.integers(image.shape[0] - size + 1))
    left = int(rng.integers(image.shape[1] - size + 1))
    window = image[top : top + size, left : left + size]
    return (window[:, ::-1] if rng.random() < 0.5 else window).copy()


def stack(images: Sequence[np.ndarray]) -> Tensor:
    """Stack uint8 (H, W, 3) images of one size as float32 (B, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255


class Photos(Protocol):
    """Anything with a length whose entries are uint8 (H, W, 3) images."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> np.ndarray: ...


class FolderPhotos:
    """The photos of ``data.folders``, read when they are asked for."""

    def __init__(self, folders: Sequence[str]) -> None:
        self._paths = [photo.path for photo in find_photos(folders)]

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> np.ndarray:
        return read_photo(self._paths[index])


class HubPhotos:
    """The image column of a Hugging Face dataset."""

    def __init__(self, rows: Any, column: str) -> None:
        self._rows, self._column = undecoded(rows, column), column

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> np.ndarray:
        return _pixels(self._rows[index][self._column], f"image {index}")


class PairDataset(Dataset):
    """Item n: a random crop of a random photo, and its LR."""

    def __init__(self, photos: Photos, data: Data, seed: int) -> None:
        self._photos, self._data, self._seed = photos, data, seed

    def __getitem__(self, n: int) -> Batch | UserError:
        rng, photo = _drawn(self._seed, n, len(self._photos))
        try:
            return _pair(self._photos[photo], self._data, n, rng)
        except UserError as error:  # raised in a loader process it would come out wrapped in a traceback
            return error


class StreamedPairs(IterableDataset):
    """Pairs from a streamed dataset: item n is row n of its shuffled order, over and over.

    Every process reads all rows, for the order is that of the whole stream, but decodes its own items' images only; a
    resumed run skips what it had.
    """

    def __init__(self, rows: Any, data: Data, seed: int, numbers: Sequence[int]) -> None:
        self._data, self._seed, self._numbers = data, seed, numbers
        self._rows = undecoded(rows, data.column)

    def __iter__(self) -> Iterator[Batch]:
        wanted = iter(self._numbers)
        n = next(wanted, None)
        for position, row in enumerate(self._forever(n or 0), start=n or 0):
            if n is None:
                return
            if position == n:
                image = _pixels(row[self._data.column], f"image {n} of the stream")
                yield _pair(image, self._data, n, stream(self._seed, _PAIR, n))
                n = next(wanted, None)

    def _forever(self, skip: int) -> Iterator[dict[str, Any]]:
        epoch, empty = 0, True
        rows = self._rows.shuffle(seed=self._seed, buffer_size=1000)
        while True:
            rows.set_epoch(epoch)
            for row in rows:
                empty = False
                if skip:
                    skip -= 1
                    continue
                yield row
            if empty:
                raise UserError(f"the stream of {self._data.hub} is empty", "check data.split")
            epoch += 1


def photo_of(seed: int, n: int, count: int) -> int:
    """Return which of ``count`` photos item n of a run is a crop of."""
    return _drawn(seed, n, count)[1]


def check_photos(data: Data) -> dict[str, str | None]:
    """Look at every photo of ``data.folders``, and for its prompt, before a training begins.

    Returns:
        Hashes that a resumed run has to share. ``photos``: of the photos' names, which have no endings; a file that is
        converted or copied anew on the way stays the same photo, and a hub dataset is not looked at. ``prompts``: of
        the photos' prompts; None where they have none of their own.

    Raises:
        UserError: If there is no photo, or a photo has no prompt; or naming the files that cannot be trained on.
    """
    digest, refused, noted, photos = hashlib.sha256(), [], {}, find_photos(data.folders)
    prompts = "\n".join(prompts_of(photos, Path(data.prompts))) if data.prompts else None
    for photo in photos:
        digest.update(f"{photo.name}\n".encode())
        try:
            noted[photo.path] = check_photo(photo.path)
        except UserError as error:
            refused.append(error)
    if len(refused) > 1:
        some = "; ".join(error.message for error in refused[:_NAMED])
        more = f"; and {len(refused) - _NAMED} more" if len(refused) > _NAMED else ""
        raise UserError(f"{len(refused)} photos do not fit: {some}{more}", f"of the first, {refused[0].fix}")
    if refused:
        raise refused[0]
    tell_notes(noted.items())
    texts = None if prompts is None else hashlib.sha256(prompts.encode()).hexdigest()[:16]
    return {"photos": digest.hexdigest()[:16], "prompts": texts}


def open_loader(data: Data, seed: int, batch: int, numbers: Sequence[int]) -> Iterator[Batch]:
    """Load the batches of these items.

    Args:
        data: Where photos come from and how they are degraded.
        seed: The run's seed.
        batch: Images per micro-batch.
        numbers: :func:`isrbench.methods.onestep.train.split.item_numbers`.

    Raises:
        UserError: If there is no image, or a degradation is unknown; while batches are taken, if one cannot be read.
    """
    check_degradations(data.degradations)
    if data.hub and data.streaming:
        pairs = StreamedPairs(_load_hub(data), data, seed, numbers)
        return iter(DataLoader(pairs, batch_size=batch, num_workers=0, collate_fn=_collate))
    photos = HubPhotos(_load_hub(data), data.column) if data.hub else FolderPhotos(data.folders)
    loader = DataLoader(
        PairDataset(photos, data, seed),
        batch_size=batch,
        sampler=numbers,
        num_workers=data.workers,
        collate_fn=_collate,
        worker_init_fn=_single_threaded,
        multiprocessing_context=_workers_context() if data.workers else None,
    )
    return _raising(loader)


def _drawn(seed: int, n: int, count: int) -> tuple[np.random.Generator, int]:
    """Item n's random stream, and the photo that is its first draw."""
    rng = stream(seed, _PAIR, n)
    return rng, int(rng.integers(count))


def _pair(image: np.ndarray, data: Data, n: int, rng: np.random.Generator) -> Batch:
    hr = stack([random_crop(image, max(data.crop, data.severity_window), rng)])
    window = make_lr(hr[0], data.degradations, rng, data.levels)[None]
    small = data.crop // SCALE
    top, left = rng.integers(window.shape[-1] - small + 1, size=2)
    lr = window[..., top : top + small, left : left + small]
    top, left = SCALE * top, SCALE * left
    return Batch(hr[..., top : top + data.crop, left : left + data.crop], lr, window, torch.tensor([n]))


def _collate(pairs: list[Batch | UserError]) -> Batch | UserError:
    good = [pair for pair in pairs if isinstance(pair, Batch)]
    if len(good) < len(pairs):
        return next(pair for pair in pairs if isinstance(pair, UserError))
    return Batch(*(torch.cat(part) for part in zip(*good, strict=True)))


def _raising(batches: Iterable[Batch | UserError]) -> Iterator[Batch]:
    for batch in batches:
        if isinstance(batch, UserError):
            raise batch
        yield batch


def _workers_context() -> Any:
    """Workers fork from a server that has imported this module: each would take seconds to import torch itself."""
    context = torch.multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", __name__])
    return context


def _single_threaded(worker: int) -> None:
    torch.set_num_threads(1)


def _load_hub(data: Data) -> Any:
    import datasets

    try:
        rows = datasets.load_dataset(data.hub, split=data.split, streaming=data.streaming)
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: of a dataset that is a script
        raise UserError(f"the dataset {data.hub} cannot be loaded: {error}", "check data.hub and data.split") from error
    columns: list[str] = rows.column_names or [data.column]
    if data.column not in columns:
        raise UserError(f"{data.hub} has no column '{data.column}', but {', '.join(columns)}", "set data.column")
    return rows.select_columns([data.column])


def _pixels(value: Any, name: str) -> np.ndarray:
    """Return the pixels of a cell: of a file, or of a Pillow image that a script made."""
    name = f"{name} of the dataset"
    if not isinstance(value, Mapping):
        return photo_pixels(value, name, _HUB_FIX)
    with opened(image_content(value), name, most=PHOTO_PIXELS) as image:
        return photo_pixels(image, name, _HUB_FIX)
