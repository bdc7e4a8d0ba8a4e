"""Tables, files and publishing."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace

import pandas as pd
import pytest
from huggingface_hub import ModelCard

from isrbench.harness.api.method import MethodPlugin
from isrbench.harness.api.registry import Registry
from isrbench.harness.errors import UserError
from isrbench.harness.store.frames import Frames
from isrbench.reports.comparison import views
from isrbench.reports.hub_card import bibliography, hub_card, write_publication
from isrbench.reports.report import build_report
from isrbench.reports.reported import reported_rows
from isrbench.reports.statistics import compare
from isrbench.reports.tables.latex import latex, latex_document, latex_text
from isrbench.reports.tables.render import markdown, terminal
from isrbench.reports.tables.table import Mark, Table, score_table
from tests.support.report_frames import NASTY, frames

GOLDEN_TEXT = """\
sample (n = 6)
method          PSNR (dB) ↑      SSIM ↑      LPIPS ↓      MUSIQ ↑
------------  ---------------  ----------  -----------  -----------
Bicubic               25.51_     0.7224_      0.3300        59.69
MoR-SR tiny           25.69*     0.7274*      0.2488*       80.37*
OSEDiff PNGs          24.25      0.6979       0.2512_       78.54_
  * = best, _ = second; + / - = significantly better / worse than Bicubic on the same images
    (Wilcoxon signed-rank, Holm over metrics, p < 0.05); severity estimator: tiny
"""

GOLDEN_MARKDOWN = r"""| Method       |                                 PSNR (dB) ↑ |                                         SSIM ↑ |
|:-------------|--------------------------------------------:|-----------------------------------------------:|
| Bicubic      | <u>25.51</u><br><sub>\[24.48, 26.41\]</sub> | <u>0.7224</u><br><sub>\[0.6821, 0.7598\]</sub> |
| MoR-SR tiny  |    **25.69**<br><sub>\[24.77, 26.46\]</sub> |    **0.7274**<br><sub>\[0.6770, 0.7776\]</sub> |
| OSEDiff PNGs |        24.25<br><sub>\[23.12, 25.33\]</sub> |        0.6979<br><sub>\[0.6588, 0.7351\]</sub> |
"""  # noqa: E501

GOLDEN_LATEX = r"""\toprule
Method & PSNR (dB) $\uparrow$ & SSIM $\uparrow$ \\
\midrule
Bicubic & \underline{25.51} & \underline{0.7224} \\
 & \scriptsize {[}24.48, 26.41{]} & \scriptsize {[}0.6821, 0.7598{]} \\
MoR-SR tiny & \textbf{25.69} & \textbf{0.7274} \\
 & \scriptsize {[}24.77, 26.46{]} & \scriptsize {[}0.6770, 0.7776{]} \\
OSEDiff PNGs & 24.25 & 0.6979 \\
 & \scriptsize {[}23.12, 25.33{]} & \scriptsize {[}0.6588, 0.7351{]} \\
\bottomrule
"""


def _table(folder, dataset: str = "sample", reported: bool = False, count: int = 6, **options) -> Table:
    made = frames(folder, count=count, **{"failed": False, **options})
    made = Frames(*(part.assign(dataset=dataset) for part in vars(made).values()))
    view = views(made)[0]
    rows = reported_rows(dataset) if reported else None
    cells = compare(view, list(view.images.index), "Bicubic")
    return score_table(view, cells, dataset, len(view.images), "Bicubic", rows)


def test_golden_terminal_table(tmp_path):
    assert terminal(_table(tmp_path)) == GOLDEN_TEXT


def test_golden_markdown_and_latex_tables(tmp_path):
    table = _table(tmp_path)
    narrow = tuple((label, entries[:2]) for label, entries in table.rows)
    table = replace(table, metrics=table.metrics[:2], rows=narrow)
    assert markdown(table).splitlines()[2:7] == GOLDEN_MARKDOWN.splitlines()
    lines = latex(table).splitlines()
    assert lines[lines.index(r"\toprule") : lines.index(r"\end{tabular}")] == GOLDEN_LATEX.splitlines()


def test_digits_line_up_in_the_terminal(tmp_path):
    lines = GOLDEN_TEXT.splitlines()[3:6]
    for point in re.finditer(r"\.", lines[0]):
        assert {line[point.start()] for line in lines} == {"."}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", r"a\|b"),
        ("$x$", r"\$x\$"),
        ("a & <b>", "a &amp; &lt;b&gt;"),
        ("one\r\n# two", r"one \# two"),
        ("see https://x.org", r"see https\://x.org"),
        ("www.x.org", r"www\.x.org"),
        ("@me ![i](u)", r"\@me \!\[i\](u)"),
    ],
)
def test_markdown_shows_texts_as_they_are(tmp_path, text, shown):
    table = _table(tmp_path)
    assert f"### {shown}\n" in markdown(replace(table, title=text))


def test_best_and_second_by_direction(tmp_path):
    table = _table(tmp_path)
    for place, metric in enumerate(table.metrics):
        marks = {label: entries[place].mark for label, entries in table.rows}
        assert sorted(m.value for m in marks.values()) == ["best", "none", "second"], metric.id
    lpips = [m.id for m in table.metrics].index("lpips")
    best = next(entries[lpips].text for _, entries in table.rows if entries[lpips].mark is Mark.BEST)
    assert float(best) == min(float(entries[lpips].text) for _, entries in table.rows)


def test_caption_names_protocol_estimator_and_test(tmp_path):
    caption = _table(tmp_path).caption
    for part in (
        "PSNR, SSIM on Y of YCbCr",
        "Severity estimator: tiny",
        "Wilcoxon",
        "Holm",
        "than Bicubic",
        "10,000 resamples",
    ):
        assert part in caption


def test_blank_cells_say_why(tmp_path):
    table = _table(tmp_path, failed=True)
    assert "OSEDiff PNGs, PSNR: 1 of 6: failed" in table.notes
    assert "| OSEDiff PNGs |" in markdown(table) and "–" in markdown(table)


def test_reported_rows_stand_apart_with_their_source(tmp_path):
    table = _table(tmp_path, dataset="RealSR", reported=True)
    labels = [label for label, _ in table.reported]
    assert "OSEDiff-1 [1]" in labels and len(table.rows) == 3
    assert any(note.startswith("[1] OSEDiff paper, Table 1") for note in table.notes)
    assert all(entry.mark is Mark.NONE for _, entries in table.reported for entry in entries)
    osediff = dict(table.reported)["OSEDiff-1 [1]"]
    assert [e.text for e in osediff] == ["25.15", "0.7341", "0.2921", "69.09"]
    text = markdown(table)
    assert text.index("MoR-SR tiny") < text.index("*StableSR-200")
    assert r"\emph{Reported by their sources}" in latex(table)


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
def test_latex_compiles_as_it_stands(tmp_path):
    table = _table(tmp_path / "pictures", dataset="RealSR", reported=True, failed=True)
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


def test_report_writes_every_file_the_same_each_time(tmp_path):
    made = frames(tmp_path / "pictures", count=9, names=[NASTY])
    first = build_report(made, tmp_path / "a", baseline="bicubic", strata_rule="level", reported=True).files
    again = build_report(made, tmp_path / "b", baseline="bicubic", strata_rule="level", reported=True).files
    assert first[0].name == "index.html"
    assert {"sample.md", "sample.tex", "sample.csv", "sample.txt", "sample.routing.csv"} <= {p.name for p in first}
    for one, other in zip(first, again, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name
    rows = pd.read_csv(tmp_path / "a/tables/sample.csv")
    assert set(rows["group"]) == {"all", "level mild", "level medium", "level severe"}
    assert {p.suffix for p in first if p.parent.parent.name == "plots"} == {".png", ".svg"}


def test_methods_without_routing_simply_lack_its_plots(tmp_path):
    made = frames(tmp_path / "pictures", count=12)
    plain = made.images.assign(active_experts=float("nan"))
    written = build_report(Frames(made.runs, made.scores, plain, made.routing.head(0)), tmp_path / "out").files
    names = {p.name.partition(".")[0] for p in written if p.parent.parent.name == "plots"}
    assert not any(n.startswith(("experts", "layers", "zero", "dimensions", "scatter")) for n in names)
    assert "severity-psnr" in names and not (tmp_path / "out/tables/sample.routing.csv").exists()


def test_sets_without_severity_or_values_still_report(tmp_path):
    made = frames(tmp_path / "pictures", count=6)
    images = made.images.assign(severity=float("nan"))
    scores = made.scores.assign(value=float("nan"), status="no-reference")
    assert build_report(Frames(made.runs, scores, images, made.routing), tmp_path / "out").page.is_file()
    assert "no HR" in (tmp_path / "out/tables/sample.md").read_text(encoding="utf-8")


def test_report_mistakes_are_clear(tmp_path):
    made = frames(tmp_path / "pictures", count=6)
    with pytest.raises(UserError, match="there is no baseline 'bicubc'; did you mean 'bicubic'"):
        build_report(made, tmp_path / "out", baseline="bicubc")
    with pytest.raises(UserError, match="not a way to group"):
        build_report(made, tmp_path / "out", strata_rule="nonsense")
    with pytest.raises(UserError, match="no run to report"):
        build_report(Frames(made.runs.head(0), made.scores, made.images, made.routing), tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write the report"):
        build_report(made, tmp_path / "file" / "out")


def test_terminal_tables(tmp_path):
    made = frames(tmp_path / "pictures", count=6, failed=False)
    assert build_report(made, tmp_path / "out").text == GOLDEN_TEXT


def _two_sets(made: Frames) -> Frames:
    """The same runs on a second set, and a newer second run of bicubic on the first."""
    second = Frames(*(part.assign(dataset="other", run=part["run"] + "-o") for part in vars(made).values()))
    again = Frames(*(part[part["method"] == "bicubic"].assign(run="bicubic-again-9") for part in vars(made).values()))
    again = replace(again, runs=again.runs.assign(created="2027-01-01"), scores=again.scores.assign(value=1.0))
    parts = [[getattr(f, name) for f in (made, second, again)] for name in vars(made)]
    return Frames(*(pd.concat(part, ignore_index=True) for part in parts))


def test_hub_card_covers_all_sets_without_doubles_and_the_hub_reads_it(tmp_path):
    made = frames(tmp_path, count=6)
    card = hub_card(_two_sets(made), "mor-tiny")
    data = ModelCard(card).data
    mean = made.scores.query("method == 'mor-tiny' and metric == 'psnr'")["value"].mean()
    found = {(r.dataset_name, r.metric_type): r.metric_value for r in data.eval_results or []}
    assert len(found) == len(data.eval_results or []) == 2 * 4 and data.model_name == "MoR-SR tiny"
    assert found["sample", "psnr"] == found["other", "psnr"] == pytest.approx(mean, abs=1e-6)
    bicubic = ModelCard(hub_card(_two_sets(made), "bicubic")).data.eval_results or []
    values = [r.metric_value for r in bicubic if (r.dataset_name, r.metric_type) == ("sample", "psnr")]
    assert values == [1.0], "of two runs on one set the newest"
    with pytest.raises(UserError, match="no complete mean of 'folder'"):
        hub_card(made, "folder")


def test_bibliography_and_publication(tmp_path):
    methods = Registry.from_entry_points("method", MethodPlugin, "isrbench.methods")
    made = frames(tmp_path / "pictures", count=6)
    text = bibliography(made, methods)
    keys = [line.partition("{")[2].split(",")[0] for line in text.splitlines() if line.startswith("@")]
    assert "keys1981cubic" in keys and "wang2004ssim" in keys
    assert keys == sorted(set(keys)) and text.count("{") == text.count("}")
    names = {path.name for path in write_publication(made, methods, tmp_path / "out")}
    assert names == {"hub-card-bicubic.md", "hub-card-mor-tiny.md", "references.bib"}
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--to is a folder"):
        write_publication(made, methods, tmp_path / "file")


def test_bibliography_knows_named_runs_by_their_manifest(tmp_path):
    methods = Registry.from_entry_points("method", MethodPlugin, "isrbench.methods")
    made = frames(tmp_path, count=3)
    made.runs["method"] = ["ours", "theirs", "mine"]
    made.runs["manifest"] = [{"method": "bicubic"}, {"citation": "@misc{theirs1, title={T}}"}, {}]
    text = bibliography(made, methods)
    assert "keys1981cubic" in text and "@misc{theirs1" in text
