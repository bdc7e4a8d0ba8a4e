"""Tables as LaTeX that pdflatex compiles without changes."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

from isrbench.reports.tables.table import Entry, Mark, Table, heading

_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "∞": r"$\infty$",
    "–": r"\textendash{}", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "×": r"$\times$",
    "−": "$-$", "±": r"$\pm$",
    "\u00a0": "~", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}", "'": r"\textquotesingle{}",
    "[": "{[}", "]": "{]}",
    "µ": r"$\mu$", "°": r"\textdegree{}", "²": r"\textsuperscript{2}", "³": r"\textsuperscript{3}",
    "†": r"\textdagger{}", "‡": r"\textdaggerdbl{}", "§": r"\S{}", "“": "``", "”": "''",
}  # fmt: skip
"""Brackets are put in braces: at a row's start TeX would take ``[x]`` for an option of the row before."""
_LATIN = 0x180
"""The T1 encoding has the letters below this code point; others are replaced."""

PACKAGES = r"\usepackage{booktabs} \usepackage[T1]{fontenc} \usepackage{textcomp}"
"""What a document needs in order to take a tabular."""

_HEAD = r"""\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{textcomp}
\IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}
\usepackage{booktabs}
\usepackage{graphicx}
\usepackage[a4paper,landscape,margin=1.5cm]{geometry}
\setlength{\belowcaptionskip}{4pt}
\setlength{\emergencystretch}{3em}
\renewcommand{\topfraction}{1}
\renewcommand{\textfraction}{0}
% A table that is wider or higher than the page is made smaller.
\newsavebox{\fitted}
\newcommand{\fit}[1]{\sbox{\fitted}{#1}%
  \ifdim\wd\fitted>\linewidth\sbox{\fitted}{\resizebox{\linewidth}{!}{\usebox{\fitted}}}\fi
  \ifdim\dimexpr\ht\fitted+\dp\fitted\relax>0.7\textheight
    \resizebox*{!}{0.7\textheight}{\usebox{\fitted}}\else\usebox{\fitted}\fi}
\begin{document}
"""


def tabular(table: Table) -> str:
    """Return a bare ``tabular``, with intervals below the means, for a float; it needs :data:`PACKAGES`."""
    lines = []
    for block in table.blocks:
        if block.heading:
            lines += [r"\midrule"] if lines else []
            lines.append(rf"\multicolumn{{{len(table.metrics) + 1}}}{{l}}{{\emph{{{latex_text(block.heading)}}}}} \\")
        lines += [line for label, entries in block.rows for line in _rows(label, entries, table.intervals)]
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{'l' + 'r' * len(table.metrics)}}}",
            r"\toprule",
            _row([latex_text(table.corner), *(latex_text(heading(m)) for m in table.metrics)]),
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def tabular_file(table: Table, name: str) -> str:
    """Return a file that holds the ``tabular`` alone; a comment above shows the float that takes it.

    Args:
        table: With rows.
        name: The file's, without its ending; the label is ``tab:NAME``.
    """
    usage = [f"Needs {PACKAGES}", *latex(table, name, rf"\input{{{name}}}").splitlines()]
    # The end of the file's last line would be a space in the float.
    return "\n".join([*(f"% {line}" for line in usage), tabular(table) + "%", ""])


def latex(table: Table, name: str, body: str) -> str:
    r"""Return the float of a table, with caption, label and the tabular, then its notes as text.

    Args:
        table: What to show; without rows a paragraph says why there is no table.
        name: The label is ``tab:NAME``.
        body: The tabular, or the ``\input`` of its file.
    """
    if not table.rows:
        return rf"\paragraph{{{latex_text(table.title)}}} {latex_text(table.caption)}"
    caption = table.caption if table.caption.startswith(table.title) else f"{table.title} {table.caption}"
    notes = [rf"\noindent{{\footnotesize {latex_text('; '.join(table.notes))}.\par}}"] if table.notes else []
    return "\n".join(
        [
            r"\begin{table}[t]",
            r"\centering\small",
            rf"\caption{{{latex_text(caption)}}}",
            rf"\label{{tab:{name}}}",
            body,
            r"\end{table}",
            *notes,
        ]
    )


def latex_document(tables: Mapping[str, Table], inputs: bool = False) -> str:
    r"""Return a whole document: the tables, then how each metric is defined.

    Args:
        tables: By the name of its file, without the ending.
        inputs: Take each table from its file in the same folder, by ``\input``.
    """
    floats = []
    for name, table in tables.items():
        body = rf"\input{{{name}}}" if inputs else tabular(table)
        floats.append(latex(table, name, rf"\fit{{{body}}}" if table.rows else ""))
    defined = dict.fromkeys(text for table in tables.values() for text in table.definitions)
    items = [rf"\item {latex_text(text)}" for text in defined]
    last = ["\\section*{How each metric is defined}", "\\begin{itemize}", *items, "\\end{itemize}"]
    body = "\n\\clearpage\n".join([*floats, *(["\n".join(last)] if items else [])])
    return f"{_HEAD}{body}\n\\end{{document}}\n"


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


def _rows(label: str, entries: tuple[Entry, ...], intervals: bool) -> list[str]:
    lines = [_row([latex_text(label), *map(_entry, entries)])]
    below = [(entry.interval if intervals else "") or entry.sources for entry in entries]
    if any(below):
        lines.append(_row(["", *(rf"\scriptsize {latex_text(text)}" if text else "" for text in below)]))
    return lines


def _entry(entry: Entry) -> str:
    text = latex_text(entry.text)
    if entry.mark is Mark.BEST:
        text = rf"\textbf{{{text}}}"
    elif entry.mark is Mark.SECOND:
        text = rf"\underline{{{text}}}"
    above = entry.sign + (r"\ddagger" if entry.trained_on else "")
    # The sign takes no room, so that digits line up.
    return rf"{text}\rlap{{$^{{{above}}}$}}" if above else text
