from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field, fields, make_dataclass
from enum import Enum
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    ("text", "words"),
    [
        ("x" * 300, "File name too long"),
        ("loop", "Too many levels"),
        ("~qqq/x", "home directory"),
        ("a\0", "null byte"),
    ],
)
def test_a_path_at_which_nothing_can_be(text, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    with pytest.raises(UserError, match=f"option 'weights': .* cannot be a path: .*{words}") as caught:
        parse_options(Everything, {"weights": text})
    assert caught.value.fix == "write -o weights=PATH" and len(caught.value.message) < 300


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
    with pytest.raises(UserError, match=r"unknown option 'tiel'; did you mean 'tile'\? Known options: weights, word"):
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


@dataclass(frozen=True)
class Renamed:
    dtype: Literal["fp32", "fp16"] = field(default="fp32", metadata={"help": "type", "aliases": ("precision", "bits")})
    size: int = field(default=1, metadata={"aliases": ("side",)})


def test_a_renamed_option_answers_to_its_older_names():
    for name in ("dtype", "precision", "bits"):
        assert parse_options(Renamed, {name: "fp16", "side": "3"}) == Renamed("fp16", 3)
    assert [row.name for row in describe_options(Renamed)] == ["dtype", "size"]
    assert list(options_key(Renamed())) == ["dtype", "size"]
    with pytest.raises(UserError, match=r"unknown option 'precison'.* Known options: dtype, size"):
        parse_options(Renamed, {"precison": "fp16"})
    with pytest.raises(UserError, match="option 'dtype' is 'x'"):
        parse_options(Renamed, {"precision": "x"})


@pytest.mark.parametrize("names", [("dtype", "precision"), ("precision", "bits")])
def test_one_option_under_two_names_is_refused(names):
    with pytest.raises(UserError, match=f"'{names[0]}' and '{names[1]}' are one option") as caught:
        parse_options(Renamed, dict.fromkeys(names, "fp16"))
    assert "-o dtype=" in (caught.value.fix or "")


TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)


@given(
    st.builds(
        Everything,
        weights=st.text("abc/.", min_size=1, max_size=8).map(Path),
        word=TEXT,
        tile=st.integers(-(10**9), 10**9),
        strength=st.floats(allow_nan=False, allow_infinity=False),
        fast=st.booleans(),
        mode=st.sampled_from(["fp32", "fp16"]),
        factor=st.sampled_from([2, 4]),
        colour=st.sampled_from(Colour),
        limit=st.none() | st.integers(0, 100),
    )
)
def test_what_a_description_would_type_is_read_back(options):
    """Any options, as defaults of a class of their own, come back from the texts that ``describe`` shows."""
    hints = Everything.__annotations__
    shown_fields = [(f.name, hints[f.name], field(default=getattr(options, f.name))) for f in fields(options)]
    shown = make_dataclass("Shown", shown_fields, frozen=True, namespace={"__module__": __name__})
    typed = {row.name: row.default for row in describe_options(shown)}
    assert parse_options(Everything, typed) == options


def test_describing_options_imports_no_pydantic():
    code = (
        "import sys\nfrom isrbench.harness.api.options import describe_options\n"
        "from isrbench.methods.spandrel.options import SpandrelOptions\n"
        "describe_options(SpandrelOptions)\nprint({'pydantic', 'torch'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
