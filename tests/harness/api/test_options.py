from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Literal

import pytest

from isrbench.harness.api.options import describe_options, options_key, parse_options, split_options
from isrbench.harness.errors import UserError


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Everything:
    weights: Path = field(metadata={"help": "a file"})
    word: str = "none at all"
    tile: int = 0
    strength: float = 1.0
    fast: bool = False
    mode: Literal["fp32", "fp16"] = "fp32"
    factor: Literal[2, 4] = 4
    colour: Colour = Colour.RED
    limit: int | None = None


def test_every_type_is_read():
    texts = {
        "weights": "~/w.pth", "word": "a=b", "tile": "-3", "strength": "1e-2", "fast": "Yes", "mode": "fp16",
        "factor": "2", "colour": "blue", "limit": "7",
    }  # fmt: skip
    expected = Everything(Path.home() / "w.pth", "a=b", -3, 0.01, True, "fp16", 2, Colour.BLUE, 7)
    assert parse_options(Everything, texts) == expected
    assert parse_options(Everything, {"weights": "w", "limit": "none"}) == Everything(Path("w"))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("tile", "1.5", "whole number"),
        ("tile", "none", "whole number"),
        ("strength", "nan", "number"),
        ("strength", "inf", "number"),
        ("fast", "maybe", "true or false"),
        ("mode", "fp8", "one of: fp32, fp16"),
        ("factor", "3", "one of: 2, 4"),
        ("colour", "RED", "one of: red, blue"),
        ("limit", "x", "whole number, or none"),
        ("weights", "", "path"),
    ],
)
def test_wrong_type_names_option_value_and_expected_type(name, text, expected):
    with pytest.raises(UserError) as caught:
        parse_options(Everything, {"weights": "w", name: text})
    assert caught.value.message == f"option '{name}' is '{text}', but has to be {expected}"


def test_unknown_option_is_refused_with_a_suggestion_and_the_list():
    with pytest.raises(UserError, match=r"no option 'tiel'; did you mean 'tile'\? Known options: weights, word"):
        parse_options(Everything, {"weights": "w", "tiel": "3"})


def test_missing_required_option_is_named_with_its_type():
    with pytest.raises(UserError, match=r"required option missing: 'weights' \(path\)") as caught:
        parse_options(Everything, {})
    assert caught.value.fix == "add -o weights=..."


def test_describe_gives_what_one_would_type():
    rows = {row.name: row for row in describe_options(Everything)}
    assert (rows["weights"].type, rows["weights"].default, rows["weights"].help) == ("path", None, "a file")
    assert (rows["fast"].type, rows["fast"].default) == ("true or false", "false")
    assert (rows["colour"].type, rows["colour"].default) == ("one of: red, blue", "red")
    assert (rows["limit"].type, rows["limit"].default) == ("whole number, or none", "none")
    typed = {name: row.default for name, row in rows.items() if row.default is not None}
    assert parse_options(Everything, {"weights": "w", **typed}) == Everything(Path("w"))


def test_key_is_json_and_the_same_for_every_way_of_writing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written = parse_options(Everything, {"weights": "./sub/../w.pth", "strength": "1.00"})
    key = options_key(written)
    assert key == options_key(parse_options(Everything, {"weights": str(tmp_path / "w.pth"), "tile": "0"}))
    assert key["colour"] == "red" and list(key) == sorted(key)
    assert json.loads(json.dumps(key, allow_nan=False)) == key


def test_an_option_that_cannot_change_a_result_is_no_part_of_the_key():
    @dataclass(frozen=True)
    class Limited:
        word: str = "a"
        patience: float = field(default=1.0, metadata={"help": "seconds", "result": False})

    assert options_key(Limited(patience=2.0)) == options_key(Limited()) == {"word": "a"}
    assert [row.name for row in describe_options(Limited)] == ["word", "patience"]


def test_split_options():
    assert split_options(["a=1", "command=x --y=2"]) == {"a": "1", "command": "x --y=2"}
    for texts, message in ([["a"], "not of the form"], [["=1"], "not of the form"], [["a=1", "a=2"], "given twice"]):
        with pytest.raises(UserError, match=message):
            split_options(texts)


def test_annotation_that_no_text_can_fill_is_the_authors_mistake():
    @dataclass(frozen=True)
    class Odd:
        pair: tuple[int, int] = (0, 0)

    with pytest.raises(TypeError, match="cannot be of type"):
        describe_options(Odd)
