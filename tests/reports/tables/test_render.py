"""Tables as Markdown and plain text."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from isrbench.reports.tables.render import markdown, markdown_document, plain_text
from tests.support.report_tables import small_table

GOLDEN_TEXT = """\
sample (n = 6)
method           PSNR (dB) ↑      SSIM ↑      LPIPS ↓      MUSIQ ↑
-------------  ---------------  ----------  -----------  -----------
Bicubic                25.51_     0.7224_      0.3300        59.69
MoR-SR (tiny)          25.69*     0.7274*      0.2488*       80.37*
OSEDiff PNGs           24.25      0.6979       0.2512_       78.54_
  * = best, _ = second; + / - = significantly better / worse than Bicubic on the same images
    (Wilcoxon signed-rank, Holm over metrics, p < 0.05); severity estimator: tiny (1a2b3c4d)
  MoR-SR (tiny): runs on the tiny weights that ship with isrbench to try it out; its results are not
    those of the published method
  no p below 0.05 can be reached with n = 6: where all differences have one sign, the test gives
    0.031, and 0.12 after Holm's correction over 4 metrics
"""

GOLDEN_MARKDOWN = r"""| Method        |                                 PSNR (dB) ↑ |                                         SSIM ↑ |
|:--------------|--------------------------------------------:|-----------------------------------------------:|
| Bicubic       | <u>25.51</u><br><sub>\[24.48, 26.41\]</sub> | <u>0.7224</u><br><sub>\[0.6821, 0.7598\]</sub> |
| MoR-SR (tiny) |    **25.69**<br><sub>\[24.77, 26.46\]</sub> |    **0.7274**<br><sub>\[0.6770, 0.7776\]</sub> |
| OSEDiff PNGs  |        24.25<br><sub>\[23.12, 25.33\]</sub> |        0.6979<br><sub>\[0.6588, 0.7351\]</sub> |
"""  # noqa: E501


def test_golden_plain_text(tmp_path):
    assert plain_text(small_table(tmp_path)) == plain_text(small_table(tmp_path), 200) == GOLDEN_TEXT


def test_a_narrow_terminal_gets_the_columns_in_parts(tmp_path):
    table = small_table(tmp_path)
    lines = plain_text(table, 50).splitlines()
    assert max(map(len, lines)) <= 50 < max(map(len, GOLDEN_TEXT.splitlines()))
    heads = [line for line in lines if line.startswith("method")]
    assert len(heads) > 1 and [m.title for m in table.metrics] == [
        word for head in heads for word in head.split() if word in {m.title for m in table.metrics}
    ]
    assert sum(line.startswith("Bicubic") for line in lines) == len(heads)


def test_golden_markdown(tmp_path):
    table = small_table(tmp_path)
    narrow = tuple((label, entries[:2]) for label, entries in table.rows)
    table = replace(table, metrics=table.metrics[:2], rows=narrow)
    assert markdown(table).splitlines()[2:7] == GOLDEN_MARKDOWN.splitlines()


def test_digits_line_up_in_the_terminal():
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
    assert f"### {shown}\n" in markdown(replace(small_table(tmp_path), title=text))


def test_blank_cells_are_dashes(tmp_path):
    text = markdown(small_table(tmp_path, failed=True))
    row = next(line for line in text.splitlines() if line.startswith("| OSEDiff PNGs "))
    assert row.count("–") == 4


def test_reported_rows_come_last_in_italics(tmp_path):
    text = markdown(small_table(tmp_path, dataset="RealSR", reported=True))
    assert text.index("MoR-SR (tiny)") < text.index("*StableSR-200")


def test_a_document_defines_each_metric_once(tmp_path):
    table = small_table(tmp_path)
    text = markdown_document([table, replace(table, title="again")])
    assert text.count("### How each metric is defined") == 1 and text.count("- PSNR: Y of YCbCr") == 1
