"""The figure of crops as LaTeX: pictures in a folder, boxes, labels and scores by the paper's own TeX."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from isrbench.reports.figures.crops import Placed, shortened
from isrbench.reports.tables.latex import latex_text

_FINE = 300
"""Least side of a crop's file, pixels: viewers smooth pictures that have few."""
_USAGE = r"""% Needs \usepackage{graphicx} \usepackage{xcolor}
% \begin{figure*}[t]
%   \input{NAME}
%   \caption{...}
%   \label{fig:NAME}
% \end{figure*}
% It is as wide as the line. Where this file lies in a folder: \graphicspath{{FOLDER/}}
"""


def write_tex(placed: Sequence[Placed], width: float, height: float, out: Path, images: Path) -> None:
    r"""Write the figure as a ``picture`` for ``\input`` in a figure.

    Args:
        placed: Of :func:`isrbench.reports.figures.crops.arrange`.
        width: Of the figure, inches: becomes the paper's line width, and all lengths with it.
        height: The same unit.
        out: The file.
        images: Folder of its pictures; it stands beside ``out`` under the name that the text refers to.

    Raises:
        OSError: If a file cannot be written.
    """
    lines = []
    for number, own in enumerate(placed):
        name = f"{number:03d}.png"
        pixels = own.pixels.repeat(fold := -(-_FINE // min(own.pixels.shape[:2])), axis=0).repeat(fold, axis=1)
        Image.fromarray(pixels).save(images / name)
        lines += _picture(own, f"{images.name}/{name}")
    usage = _USAGE.replace("NAME", images.name)
    body = "%\n".join([rf"\setlength{{\unitlength}}{{{1 / width:.6f}\linewidth}}", *lines])
    picture = rf"\begin{{picture}}({width:.4f},{height:.4f})"
    first, _, rest = body.partition("%\n")
    text = f"\\begingroup\n{first}%\n\\noindent{picture}%\n{rest}%\n\\end{{picture}}%\n\\endgroup\n"
    out.write_text(usage + text, encoding="utf-8")


def _picture(own: Placed, file: str) -> list[str]:
    size = f"width={own.width:.4f}\\unitlength,height={own.height:.4f}\\unitlength"
    lines = [rf"\put({own.left:.4f},{own.bottom:.4f}){{\includegraphics[{size}]{{{file}}}}}"]
    high, wide = own.pixels.shape[:2]
    for box, colour in own.boxes:
        left, bottom = (
            own.left + box.left / wide * own.width,
            own.bottom + own.height * (1 - (box.top + box.side) / high),
        )
        across, along = box.side / wide * own.width, box.side / high * own.height
        lines.append(_framed(left, bottom, across, along, colour))
    if own.frame:
        lines.append(_framed(own.left, own.bottom, own.width, own.height, own.frame))
    for text, below in ((shortened(own), 0.03), (own.scores, 0.15)):
        if text:
            middle = own.left + own.width / 2
            shown = rf"\makebox(0,0)[t]{{\scriptsize {latex_text(text)}}}"
            lines.append(rf"\put({middle:.4f},{own.bottom - below:.4f}){{{shown}}}")
    return lines


def _framed(left: float, bottom: float, width: float, height: float, colour: str) -> str:
    frame = rf"\color[HTML]{{{colour[1:].upper()}}}\linethickness{{1.2pt}}\framebox({width:.4f},{height:.4f}){{}}"
    return rf"\put({left:.4f},{bottom:.4f}){{{frame}}}"
