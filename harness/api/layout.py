"""What a report or a figure is to show: the command line fills these in, whatever is installed as a report reads them.

The fields' ``metadata`` holds what the command line says of them. Torch-free.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Layout:
    """Columns, rows and digits of a report's tables, and what its plots show."""

    metrics: tuple[str, ...] = field(
        default=(), metadata={"metavar": "A,B", "help": "Only these metrics and sets of them, in this order."}
    )
    """Ids and sets; empty for all."""
    methods: tuple[str, ...] = field(
        default=(), metadata={"metavar": "A,B", "help": "Only these methods, in this order: ids, titles or runs."}
    )
    """Ids, labels or run ids; empty for all. An id stands for all runs of the method."""
    order: str = field(
        default="", metadata={"metavar": "METRIC", "help": "Rows by this metric, best first. [default: by name]"}
    )
    """A metric's id; empty for the order of ``methods``, or of the labels."""
    digits: tuple[str, ...] = field(
        default=(),
        metadata={"metavar": "N,METRIC=N", "help": "Digits after the point, of all metrics or of one: 3,psnr=2."},
    )
    """Each ``N`` or ``METRIC=N``, N in 0 to 17; the latter counts where both are there."""
    intervals: bool = field(default=True, metadata={"help": "95% intervals in the tables' files."})
    titles: bool = field(default=False, metadata={"help": "Titles inside of the plots, too."})


DEFAULT_LAYOUT = Layout()


@dataclass(frozen=True)
class FigureLayout:
    """What the figure of whole images and crops shows."""

    images: tuple[str, ...] = field(
        default=(),
        metadata={"metavar": "A,B", "help": "Ids. [default: those on which the methods differ most]"},
    )
    """Ids; empty = the ``count`` images whose first metric differs most among the methods."""
    methods: tuple[str, ...] = field(
        default=(), metadata={"metavar": "A,B", "help": "Ids, titles or runs, in this order. [default: all]"}
    )
    """As in :class:`Layout`; empty = all, the baseline first."""
    metrics: tuple[str, ...] = field(
        default=(), metadata={"metavar": "A,B", "help": "What is printed below. [default: the first two]"}
    )
    """Ids and sets; empty = the first two that have values."""
    count: int = field(default=2, metadata={"min": 1, "help": "Images to choose."})
    crops: int = field(default=1, metadata={"min": 1, "help": "Squares to choose in each image."})
    side: int = field(default=96, metadata={"min": 8, "help": "Of a chosen square, HR pixels."})
    width: float = field(default=7.0, metadata={"min": 2, "max": 40, "help": "Of the figure, inches."})
    lr: bool = field(default=True, metadata={"help": "Show LR too."})


DEFAULT_FIGURE = FigureLayout()
