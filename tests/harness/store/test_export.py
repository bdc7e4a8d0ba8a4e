"""What a spreadsheet would compute is written as text; numbers stay numbers."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from isrbench.harness.store.export import csv_text, export

COMPUTED = [
    "=1+1", "+1+1", "-1+1", "@SUM(1)", "\t=1", "\r=1", "\n=1", " =1", "\ufeff=1", "=", "-", "--x", "-3.2.1", "+x",
    '=HYPERLINK("http://a/","b")', "=a,b", "\uff1d1+1",
]  # fmt: skip
PLAIN = ["a", "a=1", "1-1", "", "'", "0801", "-3.2", "+5", "-1e-3", "-inf", "-.5", "1.", "a\n=b", "a\r=b", "\u2013"]


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("cell", COMPUTED)
def test_a_text_that_would_be_computed_is_written_as_text(cell: str) -> None:
    frame = pd.DataFrame({"image": [cell], "value": [-3.2]})
    assert read(csv_text(frame))[1] == [f"'{cell}", "-3.2"]
    assert read(csv_text(frame, raw=True))[1] == [cell, "-3.2"]
    assert read(csv_text(frame.rename(columns={"image": cell})))[0] == [f"'{cell}", "value"]
    assert list(frame["image"]) == [cell], "the frame itself is left alone"


@pytest.mark.parametrize("cell", PLAIN)
def test_other_texts_and_numbers_stay_what_they_are(cell: str) -> None:
    assert read(csv_text(pd.DataFrame({"image": ["x", cell]})))[2:] == ([[cell]] if cell else [[""]])


def test_missing_values_categories_and_every_digit_stay() -> None:
    frame = pd.DataFrame(
        {
            "mixed": [-3.25, None, "=x"],
            "kind": pd.Categorical(["-a", "b", "b"]),
            "value": [-1 / 3, np.inf, np.nan],
            "count": [-1, 2, 3],
            "flag": [True, False, True],
        }
    )
    expected = frame.assign(mixed=[-3.25, None, "'=x"], kind=["'-a", "b", "b"]).to_csv(index=False, lineterminator="\n")
    assert csv_text(frame) == expected and csv_text(frame.head(0)) == frame.head(0).to_csv(index=False)


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_files_of_programs_hold_the_texts_themselves(ending: str, tmp_path: Path) -> None:
    target = tmp_path / f"x.{ending}"
    export(pd.DataFrame({"image": ["=1+1"]}), target)
    back = pd.read_parquet(target) if ending == "parquet" else pd.read_json(target, lines=True)
    assert list(back["image"]) == ["=1+1"]
