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
    "†": r"\textdagger{}", "‡": r"\textdaggerdbl{}", "§": r"\S{}", "“": "``", "”": "''",
}  # fmt: skip
"""Brackets are put in braces: at a row's start TeX would take ``[x]`` for an option of the row before."""
_LATIN = 0x180
"""The T1 encoding has the letters below this code point; others are replaced."""

_PAGE = 32
"""Lines of rows that fit on the document's page, with the caption and some notes."""

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
    """Return ``table`` floats with intervals below the means; they need booktabs, T1 fonts and textcomp.

    What a page cannot hold goes on in a further float, and the notes then follow as text.
    """
    if not table.rows:
        return rf"\paragraph{{{latex_text(table.title)}}} {latex_text(table.caption)}" + "\n"
    blocks = [_rows(label, entries) for label, entries in table.rows]
    if table.reported:
        first, *others = [_rows(label, entries) for label, entries in table.reported]
        heading_row = rf"\multicolumn{{{len(table.metrics) + 1}}}{{l}}{{\emph{{Reported by their sources}}}} \\"
        blocks += [[r"\midrule", heading_row, *first], *others]
    pages = _pages(blocks)
    notes = rf"{{\footnotesize {latex_text('; '.join(table.notes))}.\par}}" if table.notes else ""
    within = ["", r"\smallskip", notes] if notes and len(pages) == 1 else []
    caption = table.caption if table.caption.startswith(table.title) else f"{table.title} {table.caption}"
    lines = _float(table, caption, pages[0], within)
    for page in pages[1:]:
        lines += ["", *_float(table, f"{table.title}, continued", page, [])]
    if notes and len(pages) > 1:
        lines += [r"\clearpage", r"\noindent", notes]
    return "\n".join(lines) + "\n"


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


def _pages(blocks: Sequence[list[str]]) -> list[list[str]]:
    """Spread rows over floats, each with no more lines than a page holds."""
    pages: list[list[str]] = [[]]
    for block in blocks:
        if pages[-1] and len(pages[-1]) + len(block) > _PAGE:
            pages.append([])
        pages[-1] += block
    return pages


def _float(table: Table, caption: str, rows: list[str], below: list[str]) -> list[str]:
    return [
        r"\begin{table}[t]",
        r"\centering\small",
        rf"\caption{{{latex_text(caption)}}}",
        rf"\begin{{tabular}}{{{'l' + 'r' * len(table.metrics)}}}",
        r"\toprule",
        _row([table.corner, *(latex_text(heading(m)) for m in table.metrics)]),
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
        *below,
        r"\end{table}",
    ]


def _row(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _rows(label: str, entries: tuple[Entry, ...]) -> list[str]:
    lines = [_row([latex_text(label), *map(_entry, entries)])]
    below = [entry.interval or entry.sources for entry in entries]
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
