"""One photo through several methods: what the demo shows, and a failure that stops nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import isrbench
from isrbench.harness.engine.trying import load_method, severity_of, try_methods
from isrbench.harness.errors import UserError
from isrbench.harness.severity.dimensions import DIMENSIONS

PHOTO = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)


class _Broken:
    def restore(self, lr, *, image, seed):
        raise ValueError("boom")


def test_every_method_is_tried_and_gives_what_restore_gives():
    bicubic, lanczos = load_method("bicubic", 2, "cpu"), load_method("lanczos", 2, "cpu")
    broken = replace(bicubic, title="Broken", method=_Broken())
    tried = list(try_methods(PHOTO, [bicubic, broken, lanczos], 2, "cpu"))
    assert [own.title for own in tried] == ["Bicubic", "Broken", "Lanczos"]
    assert tried[1].pixels is None and tried[1].failure is not None and "boom" in tried[1].failure.message
    for own, id in ((tried[0], "bicubic"), (tried[2], "lanczos")):
        assert (
            np.array_equal(own.pixels, isrbench.restore(PHOTO, id, scale=2)) and own.trace is None and own.seconds > 0
        )


def test_a_method_that_routes_shows_its_layers():
    loaded = load_method("mor", 4, "cpu")
    (tried,) = try_methods(PHOTO, [loaded], 4, "cpu")
    assert loaded.title == "MoR-SR (tiny)" and tried.pixels is not None and tried.pixels.shape == (96, 128, 3)
    assert tried.trace is not None and len(tried.trace.active) == len(tried.trace.layers) > 10
    found = severity_of(PHOTO)
    assert tuple(found) == DIMENSIONS and all(0 <= value <= 1 for value in found.values())


def test_an_unknown_method_is_refused():
    with pytest.raises(UserError, match="did you mean 'bicubic'"):
        load_method("bicubi", 4, "cpu")
