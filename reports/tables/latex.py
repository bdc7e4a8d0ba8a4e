"""Tables as LaTeX that pdflatex compiles without changes."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from isrbench.reports.tables.table import Entry, Mark, Table, heading

_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "∞": r"$\infty$",
    "–": r"\textendash{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "×": r"$\times$",
    "−": "$-$", "±": r"$\pm$",
    "\u00a0": "~", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}", "'": r"\textquotesingle{}",
    "[": "{[}", "]": "{]}",
    "µ": r"$\mu$", "°": r"\textdegree{}", "²": r"\textsuperscript{2}", "³": r"\textsuperscript{3}",
}  # fmt: skip
"""Brackets are put in braces: at a row's start TeX would take ``[x]`` for an option of the row before."""
_LATIN = 0x180
"""The T1 encoding has the letters below this code point; others are replaced."""

_HEAD = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{textcomp}
\IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}
\usepackage{booktabs}
\usepackage[a4paper,landscape,margin=1.5cm]{geometry}
\begin{document}
"""


def latex(table: Table) -> str:
    """Return a ``table`` float with intervals below the means; it needs booktabs, T1 fonts and textcomp."""
    if not table.rows:
        return rf"\paragraph{{{latex_text(table.title)}}} {latex_text(table.caption)}" + "\n"
    caption = table.caption if table.caption.startswith(table.title) else f"{table.title} {table.caption}"
    columns = "l" + "r" * len(table.metrics)
    lines = [
        r"\begin{table}[t]",
        r"\centering\small",
        rf"\caption{{{latex_text(caption)}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _row([table.corner, *(latex_text(heading(m)) for m in table.metrics)]),
        r"\midrule",
        *(line for label, entries in table.rows for line in _rows(label, entries)),
    ]
    if table.reported:
        span = len(table.metrics) + 1
        lines += [r"\midrule", rf"\multicolumn{{{span}}}{{l}}{{\emph{{Reported by their sources}}}} \\"]
        lines += [line for label, entries in table.reported for line in _rows(label, entries)]
    lines += [r"\bottomrule", r"\end{tabular}"]
    if table.notes:
        lines += ["", r"\smallskip", rf"{{\footnotesize {latex_text('; '.join(table.notes))}.\par}}"]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def latex_document(tables: Sequence[Table]) -> str:
    """Return a whole document: the tables, then how each metric is defined."""
    defined = dict.fromkeys(text for table in tables for text in table.definitions)
    items = [rf"\item {latex_text(text)}" for text in defined]
    last = ["\\section*{How each metric is defined}", "\\begin{itemize}", *items, "\\end{itemize}", ""]
    body = "\\clearpage\n".join([*map(latex, tables), *(["\n".join(last)] if items else [])])
    return f"{_HEAD}{body}\\end{{document}}\n"


def latex_text(text: str) -> str:
    """Return LaTeX that shows any text as it is; letters without a Latin form become ``?``."""
    shown = "".join(map(_letter, text.replace("\r", " ").replace("\n", " ")))
    return shown.replace("--", "-{}-")  # TeX would join them to a dash


def _letter(letter: str) -> str:
    if letter in _SPECIAL:
        return _SPECIAL[letter]
    if ord(letter) < 0x80:
        return letter if letter.isprintable() else " "
    # T1 has nearly all of Latin-1 and Latin Extended-A; the signs and digits among them depend on the engine.
    if letter.isalpha() and ord(letter) < _LATIN and letter not in "ªºµĦħĸŁłŉŦŧ":
        return letter
    plain = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
    return "".join(_SPECIAL.get(c, c) for c in plain) or "?"


def _row(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _rows(label: str, entries: tuple[Entry, ...]) -> list[str]:
    lines = [_row([latex_text(label), *map(_entry, entries)])]
    if any(entry.interval for entry in entries):
        below = [rf"\scriptsize {latex_text(entry.interval)}" if entry.interval else "" for entry in entries]
        lines.append(_row(["", *below]))
    return lines


def _entry(entry: Entry) -> str:
    text = latex_text(entry.text)
    if entry.mark is Mark.BEST:
        text = rf"\textbf{{{text}}}"
    elif entry.mark is Mark.SECOND:
        text = rf"\underline{{{text}}}"
    # The sign takes no room, so that digits line up.
    return rf"{text}\rlap{{$^{{{entry.sign}}}$}}" if entry.sign else text
