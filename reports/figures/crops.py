"""The figure of every super-resolution paper: a whole image with a box, and what is in the box by every method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from isrbench.harness.api.metric import Metric
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import read_rgb
from isrbench.reports.aligned import AlignedRuns
from isrbench.reports.figures.style import INK, RC
from isrbench.reports.tables.table import shown

PAGE = 7.0
"""Width of a paper's page, inches."""
_GAP = 0.05
_LABEL = 0.33
"""Height below a panel for two lines of text, inches."""
_BOXES = ("#ffd60a", "#00d5ff", "#ff5ad1", "#7dff5a")
"""Colours of an image's boxes, in their order: they stand out from most photographs."""
_SMALLEST = 0.2
"""Least side of a crop, inches."""
_STEP = 8
"""Pixels between the places that are tried for a box."""


@dataclass(frozen=True)
class Box:
    """A square in an HR image, in its pixels."""

    left: int
    top: int
    side: int

    def of(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Return what is in the box."""
        return pixels[self.top : self.top + self.side, self.left : self.left + self.side]


@dataclass(frozen=True)
class Panel:
    """One version of an image."""

    label: str
    scores: str
    """Its second line: values, or at HR the metrics' names."""
    pixels: NDArray[np.uint8]
    """(H, W, 3) at HR's size."""


@dataclass(frozen=True)
class Subject:
    """One image of the figure: the whole of it, and what is in its boxes by every version."""

    image: str
    panels: tuple[Panel, ...]
    """LR enlarged by repeating pixels, the methods, HR where there is one."""
    boxes: tuple[Box, ...]


def read_subject(
    aligned: AlignedRuns, image: str, labels: Sequence[str], metrics: Sequence[Metric], boxes: Sequence[Box] | int,
    side: int, lr: bool = True,
) -> Subject:  # fmt: skip
    """Read all versions of an image.

    Args:
        aligned: The runs.
        image: Its id.
        labels: Methods, in the order to show.
        metrics: What is printed below each.
        boxes: Where to look, or how many places to choose.
        side: Of a chosen box, pixels.
        lr: Whether LR is shown too.

    Raises:
        UserError: If the image is not there, a method did not restore it, a file is gone, or a box lies outside.
    """
    if image not in aligned.images.index:
        known = ", ".join(map(str, aligned.images.index[:5]))
        raise UserError(f"{aligned.title} has no image {image}", f"choose among its images: {known}, ...")
    facts = aligned.images.loc[image]
    restored = [(label, _read(aligned.outputs.loc[image, label], f"{label}'s {image}")) for label in labels]
    height, width = restored[0][1].shape[:2]
    panels = []
    if lr:
        small = _read(facts["lr_path"], f"the LR of {image}")
        scale = height // small.shape[0]
        panels.append(Panel("LR", "", small.repeat(scale, axis=0).repeat(scale, axis=1)))
    panels += [Panel(label, _scores(aligned, image, label, metrics), pixels) for label, pixels in restored]
    if isinstance(facts["hr_path"], str):
        names = " / ".join(f"{metric.title}{metric.direction.arrow}" for metric in metrics)
        # A set may cut HR images at the right and at the bottom (``Card.hr_crop``).
        panels.append(Panel("HR", names, _read(facts["hr_path"], f"the HR of {image}")[:height, :width]))
    side = min(side, height, width)
    large = [panel.pixels for panel in panels if panel.label != "LR"]
    chosen = choose_boxes(large, side, boxes) if isinstance(boxes, int) else tuple(boxes)
    for box in chosen:
        if box.left < 0 or box.top < 0 or box.side < 1 or box.left + box.side > width or box.top + box.side > height:
            raise UserError(
                f"the box {box.left},{box.top},{box.side} does not lie in {image}, which is {width}x{height}",
                "give --box LEFT,TOP,SIDE in pixels of the HR image",
            )
    return Subject(image, tuple(panels), chosen)


def choose_boxes(versions: Sequence[NDArray[np.uint8]], side: int, count: int) -> tuple[Box, ...]:
    """Return the places where the versions differ most: by the standard deviation over them of their grey levels.

    Args:
        versions: (H, W, 3) each; of a single one its contrast counts.
        side: Of a box, pixels.
        count: Boxes wanted; fewer where no more fit without touching.

    Returns:
        The most telling first.
    """
    grey = np.stack([version.astype(np.float64).mean(axis=2) for version in versions])
    spread = grey.std(axis=0) if len(grey) > 1 else np.abs(grey[0] - grey[0].mean())
    sums = np.pad(spread, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    height, width = spread.shape
    tops = sorted({*range(0, height - side + 1, _STEP), height - side})
    lefts = sorted({*range(0, width - side + 1, _STEP), width - side})
    upper, left = np.array(tops)[:, None], np.array(lefts)[None]
    lower, right = upper + side, left + side
    inside = sums[lower, right] - sums[upper, right] - sums[lower, left] + sums[upper, left]
    found: list[Box] = []
    for place in np.argsort(-inside, axis=None, kind="stable"):
        row, column = divmod(int(place), len(lefts))
        box = Box(lefts[column], tops[row], side)
        if all(abs(box.left - o.left) >= side or abs(box.top - o.top) >= side for o in found):
            found.append(box)
        if len(found) == count:
            break
    return tuple(found)


def images_that_differ(aligned: AlignedRuns, labels: Sequence[str], metric: Metric, count: int) -> list[str]:
    """Return the images whose values of a metric differ most from method to method, in order of their ids."""
    values = aligned.values[metric.id][list(labels)].dropna()
    if values.empty:
        raise UserError(f"no image of {aligned.title} has a value of {metric.title} for every method", "name --images")
    spread = (values.max(axis=1) - values.min(axis=1)).replace(np.inf, np.nan).fillna(0.0)
    return sorted(map(str, spread.sort_values(ascending=False, kind="stable").index[:count]))


@dataclass(frozen=True)
class Placed:
    """Pixels of the figure and where they stand; lengths in inches from its lower left corner."""

    pixels: NDArray[Any]
    left: float
    bottom: float
    width: float
    height: float
    label: str
    scores: str = ""
    """A second line below."""
    boxes: tuple[tuple[Box, str], ...] = ()
    """Of a whole image: boxes in its pixels, each with its colour."""
    frame: str = ""
    """Of a crop where there are several boxes: the colour of its own."""


def arrange(subjects: Sequence[Subject], width: float = PAGE) -> tuple[list[Placed], float]:
    """Return what the figure holds, and its height in inches.

    Each image stands on the left with all its boxes; beside it come the boxes, each with a crop of every version.

    Args:
        subjects: From :func:`read_subject`.
        width: Of the figure, inches.

    Raises:
        UserError: If it is too narrow.
    """
    layouts = [_layout(subject, width) for subject in subjects]
    height = sum(lines * (side + _LABEL) for lines, _, side in layouts)
    placed, top = [], height
    for subject, layout in zip(subjects, layouts, strict=True):
        placed += _place(subject, top, layout)
        top -= layout[0] * (layout[2] + _LABEL)
    return placed, height


@contextmanager
def crops_figure(subjects: Sequence[Subject], width: float = PAGE) -> Iterator[Figure]:
    """Yield the figure of :func:`arrange`."""
    placed, height = arrange(subjects, width)
    with mpl.rc_context({**RC, "axes.grid": False}):
        drawn = Figure(figsize=(width, height))
        for own in placed:
            _draw(drawn, own)
        yield drawn


def _layout(subject: Subject, width: float) -> tuple[int, int, float]:
    """Return lines and columns of crops, and a crop's side in inches, so that all is as wide as the page."""
    count = len(subject.panels)
    per_box = 2 if len(subject.boxes) == 1 and count > 3 else 1
    lines, columns = per_box * len(subject.boxes), -(-count // per_box)
    height, wide = subject.panels[-1].pixels.shape[:2]
    aspect = wide / height
    side = (width - aspect * (lines - 1) * _LABEL - columns * _GAP) / (lines * aspect + columns)
    if not side >= _SMALLEST:  # a width that is not a number fails as well
        raise UserError(f"a figure {width:g} inches wide has no room for {subject.image}", "make it wider: --width 7")
    return lines, columns, side


def _place(subject: Subject, top: float, layout: tuple[int, int, float]) -> Iterator[Placed]:
    lines, columns, side = layout
    whole = subject.panels[-1].pixels
    high = lines * side + (lines - 1) * _LABEL
    wide = high * whole.shape[1] / whole.shape[0]
    boxes = tuple((box, _BOXES[place % len(_BOXES)]) for place, box in enumerate(subject.boxes))
    yield Placed(whole, 0.0, top - high, wide, high, subject.image, boxes=boxes)
    per_box = lines // len(boxes)
    for number, (box, colour) in enumerate(boxes):
        for place, panel in enumerate(subject.panels):
            line, column = divmod(place, columns)
            left = wide + _GAP + column * (side + _GAP)
            bottom = top - (number * per_box + line) * (side + _LABEL) - side
            frame = colour if len(boxes) > 1 else ""
            yield Placed(box.of(panel.pixels), left, bottom, side, side, panel.label, panel.scores, frame=frame)


def _draw(drawn: Figure, own: Placed) -> None:
    """Draw pixels as they are, and below them two lines."""
    wide, high = drawn.get_figwidth(), drawn.get_figheight()
    axes = drawn.add_axes((own.left / wide, own.bottom / high, own.width / wide, own.height / high))
    axes.imshow(own.pixels, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    for box, colour in own.boxes:
        corner = (box.left - 0.5, box.top - 0.5)
        axes.add_patch(Rectangle(corner, box.side, box.side, fill=False, edgecolor=colour, linewidth=1.4))
    if own.frame:
        edge = {"fill": False, "edgecolor": own.frame, "linewidth": 2.0, "transform": axes.transAxes}
        axes.add_patch(Rectangle((0, 0), 1, 1, **edge))
    x = (own.left + own.width / 2) / wide
    drawn.text(x, (own.bottom - 0.03) / high, shortened(own), ha="center", va="top", fontsize=6.5, color=INK)
    drawn.text(x, (own.bottom - 0.15) / high, own.scores, ha="center", va="top", fontsize=6, color=INK)


def shortened(own: Placed) -> str:
    """Return a label that is no wider than its pixels."""
    letters = int(17 * own.width / 0.9)
    return own.label if len(own.label) <= letters else own.label[: letters - 1] + "…"


def _scores(aligned: AlignedRuns, image: str, label: str, metrics: Sequence[Metric]) -> str:
    values: Mapping[str, Any] = {metric.id: aligned.values[metric.id].loc[image, label] for metric in metrics}
    return " / ".join("–" if np.isnan(values[m.id]) else shown(values[m.id], m) for m in metrics)


def _read(path: Any, what: str) -> NDArray[np.uint8]:
    if not isinstance(path, str) or not Path(path).is_file():
        raise UserError(f"{what} is not there", "run the method again: isrbench eval; or leave it out with --methods")
    return read_rgb(Path(path))
