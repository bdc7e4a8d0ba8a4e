"""Tables as LaTeX."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace

import pytest

from isrbench.reports.tables.latex import latex, latex_document, latex_text
from tests.support.report_tables import small_table

GOLDEN_LATEX = r"""\toprule
Method & PSNR (dB) $\uparrow$ & SSIM $\uparrow$ \\
\midrule
Bicubic & \underline{25.51} & \underline{0.7224} \\
 & \scriptsize {[}24.48, 26.41{]} & \scriptsize {[}0.6821, 0.7598{]} \\
MoR-SR (tiny) & \textbf{25.69} & \textbf{0.7274} \\
 & \scriptsize {[}24.77, 26.46{]} & \scriptsize {[}0.6770, 0.7776{]} \\
OSEDiff PNGs & 24.25 & 0.6979 \\
 & \scriptsize {[}23.12, 25.33{]} & \scriptsize {[}0.6588, 0.7351{]} \\
\bottomrule
"""


def test_golden_latex(tmp_path):
    table = small_table(tmp_path)
    narrow = tuple((label, entries[:2]) for label, entries in table.rows)
    lines = latex(replace(table, metrics=table.metrics[:2], rows=narrow)).splitlines()
    assert lines[lines.index(r"\toprule") : lines.index(r"\end{tabular}")] == GOLDEN_LATEX.splitlines()


def test_reported_rows_have_a_heading(tmp_path):
    assert r"\emph{Reported by their sources}" in latex(small_table(tmp_path, dataset="RealSR", reported=True))


def test_rows_that_no_page_holds_go_on_in_a_further_float(tmp_path):
    table = small_table(tmp_path, dataset="RealSR", reported="all")
    text = latex(table)
    floats = text.split(r"\begin{table}")[1:]
    assert len(floats) == 2 and r"\caption{RealSR, continued}" in floats[1]
    assert text.count(r" \\") == text.count("&") // len(table.metrics) + 1, "every row is there; one spans the columns"
    assert all(part.count(r" \\") <= 34 for part in floats)
    assert all(latex_text(label) in text for label, _ in (*table.rows, *table.reported))
    assert floats[1].index(r"\end{table}") < floats[1].index("FiDeSR, Table 1"), "the notes follow"


def test_latex_escapes_everything():
    assert latex_text(r"50% of a_b & {x} ~ #1 \end ↑") == (
        r"50\% of a\_b \& \{x\} \textasciitilde{} \#1 \textbackslash{}end $\uparrow$"
    )
    assert latex_text("東") == "?"


NASTY_TITLES = (
    r"50% <of> a_b & \x",
    "[x] first",
    "é ü ß Ł ø 東京 ∞ −",
    "a--b 'c' \"d\" `e`",
    "$x$ ~^ #{}|",
    "<img onerror=alert(1)>.png",
)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex (Debian: texlive-latex-recommended)")
def test_latex_compiles_without_changes(tmp_path):
    table = small_table(tmp_path / "images", dataset="RealSR", reported="all", failed=True)
    tables = [table]
    for title in NASTY_TITLES:
        rows = tuple((title, entries) for _, entries in table.rows)
        tables.append(replace(table, title=title, caption=title, rows=rows, notes=(title,), reported=()))
    (tmp_path / "t.tex").write_text(latex_document(tables), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "t.pdf").stat().st_size > 10_000
    assert "Missing character" not in (tmp_path / "t.log").read_text(errors="replace")
