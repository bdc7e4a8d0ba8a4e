"""Tables as LaTeX."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isrbench.reports.tables.joined import join_sets
from isrbench.reports.tables.latex import latex_document, latex_text, tabular, tabular_file
from tests.support.report_tables import small_table
from tests.support.tex import compile_latex

GOLDEN_LATEX = r"""\begin{tabular}{lrr}
\toprule
Method & PSNR (dB) $\uparrow$ & SSIM $\uparrow$ \\
\midrule
Bicubic & \underline{25.51} & \underline{0.7224} \\
 & \scriptsize {[}24.48, 26.41{]} & \scriptsize {[}0.6821, 0.7598{]} \\
MoR-SR (tiny) & \textbf{25.69} & \textbf{0.7274} \\
 & \scriptsize {[}24.77, 26.46{]} & \scriptsize {[}0.6770, 0.7776{]} \\
OSEDiff PNGs & 24.25 & 0.6979 \\
 & \scriptsize {[}23.12, 25.33{]} & \scriptsize {[}0.6588, 0.7351{]} \\
\bottomrule
\end{tabular}"""


def test_golden_latex(tmp_path):
    table = small_table(tmp_path)
    narrow = tuple((label, entries[:2]) for label, entries in table.rows)
    cut = replace(table, metrics=table.metrics[:2], rows=narrow)
    assert tabular(cut) == GOLDEN_LATEX
    plain = [line for line in GOLDEN_LATEX.splitlines() if "scriptsize" not in line]
    assert tabular(replace(cut, intervals=False)).splitlines() == plain


def test_a_file_is_a_bare_tabular_and_shows_the_float_that_takes_it(tmp_path):
    lines = tabular_file(small_table(tmp_path), "sample").splitlines()
    usage = [line for line in lines if line.startswith("% ")]
    rest = lines[len(usage) :]
    assert usage == lines[: len(usage)] and rest[0].startswith(r"\begin{tabular}") and rest[-1] == r"\end{tabular}%"
    assert {r"% \label{tab:sample}", r"% \input{sample}"} <= set(usage) and any(r"% \caption{" in u for u in usage)


def test_reported_rows_have_a_heading(tmp_path):
    assert r"\emph{Reported by their sources}" in tabular(small_table(tmp_path, dataset="RealSR", reported=True))


def test_one_table_over_several_sets_has_the_columns_of_any_and_a_block_for_each(tmp_path):
    one, other = small_table(tmp_path / "a"), small_table(tmp_path / "b", dataset="RealSR", reported=True, count=4)
    cut = replace(
        one, metrics=one.metrics[1:], rows=tuple((label, own[1:]) for label, own in one.rows),
        definitions=one.definitions[1:],
    )  # fmt: skip
    table = join_sets([cut, other])
    assert [m.id for m in table.metrics] == ["psnr", "ssim", "lpips", "musiq"]
    assert [block.heading for block in table.blocks] == [
        "sample (6 images)", "RealSR (4 images)", "Reported by their sources"
    ]  # fmt: skip
    assert [own[0].text for _, own in table.blocks[0].rows] == ["–"] * 3
    assert [own[0] for _, own in table.blocks[1].rows] == [own[0] for _, own in other.rows]
    text = tabular(table)
    assert text.count(r"\emph{") == 3 and text.count(r"\midrule") == 3
    for row in (*cut.rows, *other.rows, *other.reported):
        assert latex_text(row[0]) in text
    assert table.caption.startswith("sample, RealSR: means over 6 images and 4 images")


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


@pytest.mark.process
def test_latex_compiles_without_changes(tmp_path):
    table = small_table(tmp_path / "images", dataset="RealSR", reported="all", failed=True)
    tables = {"long": table}
    for title in NASTY_TITLES:
        rows = tuple((title, entries) for _, entries in table.rows)
        named = replace(table, title=title, caption=title, rows=rows, notes=(title,), reported=())
        tables[f"t{len(tables)}"] = named
    log = compile_latex(tmp_path, latex_document(tables))
    assert "Missing character" not in log and "Float too large" not in log


@pytest.mark.process
def test_a_paper_of_two_columns_takes_the_files_as_they_are(tmp_path):
    table = small_table(tmp_path / "images")
    (tmp_path / "sample.tex").write_text(tabular_file(table, "sample"), encoding="utf-8")
    usage = [line[2:] for line in tabular_file(table, "sample").splitlines() if line.startswith("% ")]
    (tmp_path / "overview.tex").write_text(latex_document({"sample": table}, inputs=True), encoding="utf-8")
    needs = usage[0].removeprefix("Needs ")
    body = "\n".join(usage[1:]).replace("{table}", "{table*}")
    log = compile_latex(
        tmp_path,
        rf"\documentclass[twocolumn]{{article}}{needs}\begin{{document}}See \ref{{tab:sample}}.{body}\end{{document}}",
    )
    assert "sample.tex" in log and "Overfull" not in log
    assert "sample.tex" in compile_latex(tmp_path, (tmp_path / "overview.tex").read_text(encoding="utf-8"))
