"""File names made from texts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from isrbench.reports.names import slug, unique_slugs


def test_slugs_are_numbered_where_they_collide():
    assert unique_slugs(["A+B", "A-B", "a b 2", "東京", "京都"]) == {
        "A+B": "a-b", "A-B": "a-b-2", "a b 2": "a-b-2-2", "東京": "x", "京都": "x-2"
    }  # fmt: skip
    assert slug("") == "x" and len(slug("long " * 99)) == 100, "a set's title may be longer than a file's name"


@given(st.lists(st.text(max_size=8), max_size=12))
def test_different_texts_have_different_and_harmless_names(texts):
    found = unique_slugs(texts)
    assert set(found) == set(texts) and len(set(found.values())) == len(found)
    assert all(name and set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for name in found.values())
