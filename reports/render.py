"""Tables as Markdown, LaTeX and plain text."""

from __future__ import annotations

import re

from tabulate import tabulate

from reports.tables import Entry, Mark, Table, heading

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "∞": r"$\infty$",
    "–": "--", "<": "$<$", ">": "$>$", "×": r"$\times$",
}  # fmt: skip
_MARKDOWN_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~])")


def markdown(table: Table) -> str:
    """GitHub Markdown: bold best, underlined second, caption and notes below."""
    rows = [[_md(label), *map(_md_entry, entries)] for label, entries in table.rows]
    rows += [[f"*{_md(label)}*", *map(_md_entry, entries)] for label, entries in table.reported]
    body = tabulate(
        rows,
        headers=["Method", *map(heading, table.metrics)],
        tablefmt="pipe",
        colalign=("left", *("right" for _ in table.metrics)),
        disable_numparse=True,
    )
    apart = ["", "Rows in italics are reported by their sources, not measured here."] if table.reported else []
    notes = ["", *(f"- {_md(note)}" for note in table.notes)] if table.notes else []
    return "\n".join([f"### {_md(table.title)}", "", body, "", _md(table.caption), *apart, *notes]) + "\n"


def latex(table: Table) -> str:
    """A ``table`` float; needs the package booktabs and nothing else."""
    columns = "l" + "r" * len(table.metrics)
    lines = [
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{{latex_text(table.caption)}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _latex_row(["Method", *(latex_text(heading(m)) for m in table.metrics)]),
        r"\midrule",
        *(_latex_row([latex_text(label), *map(_latex_entry, entries)]) for label, entries in table.rows),
    ]
    if table.reported:
        span = len(table.metrics) + 1
        lines += [r"\midrule", rf"\multicolumn{{{span}}}{{l}}{{\emph{{Reported by their sources}}}} \\"]
        lines += [_latex_row([latex_text(label), *map(_latex_entry, entries)]) for label, entries in table.reported]
    lines += [r"\bottomrule", r"\end{tabular}"]
    if table.notes:
        lines += ["", r"\smallskip", rf"{{\footnotesize {latex_text('; '.join(table.notes))}.}}"]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def latex_document(tables: list[Table]) -> str:
    """A whole document that pdflatex compiles as it stands."""
    head = "\\documentclass{article}\n\\usepackage[utf8]{inputenc}\n\\usepackage{booktabs}\n"
    page = "\\usepackage[a4paper,landscape,margin=2cm]{geometry}\n\\begin{document}\n"
    return head + page + "\\clearpage\n".join(map(latex, tables)) + "\\end{document}\n"


def terminal(table: Table) -> str:
    """Plain text: ``*`` best, ``_`` second."""
    marks = {Mark.BEST: "*", Mark.SECOND: "_", Mark.NONE: " "}

    def cell(entry: Entry) -> str:
        return f"{entry.text}{entry.sign}{marks[entry.mark]}"

    rows = [[label, *map(cell, entries)] for label, entries in table.rows]
    rows += [[f"reported: {label}", *map(cell, entries)] for label, entries in table.reported]
    body = tabulate(
        rows,
        headers=["method", *map(heading, table.metrics)],
        tablefmt="simple",
        colalign=("left", *("right" for _ in table.metrics)),
        disable_numparse=True,
    )
    lines = [f"{table.title} (n = {table.n})", *body.splitlines(), *(f"  {note}" for note in table.notes)]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def latex_text(text: str) -> str:
    """Any text as LaTeX that shows it; letters that pdflatex does not know become ``?``."""
    escaped = "".join(_LATEX.get(letter, letter) for letter in text)
    return "".join(c if ord(c) < 0x180 and (c.isprintable() or c == "\n") else "?" for c in escaped)


def _latex_row(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _latex_entry(entry: Entry) -> str:
    text = latex_text(entry.text)
    if entry.mark is Mark.BEST:
        text = rf"\textbf{{{text}}}"
    elif entry.mark is Mark.SECOND:
        text = rf"\underline{{{text}}}"
    return f"{text}$^{{{entry.sign}}}$" if entry.sign else text


def _md(text: str) -> str:
    return _MARKDOWN_SPECIAL.sub(r"\\\1", text).replace("\n", " ")


def _md_entry(entry: Entry) -> str:
    text = {Mark.BEST: f"**{entry.text}**", Mark.SECOND: f"<u>{entry.text}</u>", Mark.NONE: entry.text}[entry.mark]
    return f"{text}<sup>{entry.sign}</sup>" if entry.sign else text
