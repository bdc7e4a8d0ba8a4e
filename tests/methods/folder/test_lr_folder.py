"""The commonest mistake: the folder of the LR images in place of the results'."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from isrbench.methods.folder.images import Folder
from tests.support.images import make_image, write_pairs


@pytest.mark.parametrize(
    ("sizes", "said"),
    [([8, 8, 8], "all 3 are 8x8: is this the LR folder?"), ([8, 12, 8], "all 3 are as large as the LR images: is")],
)
def test_the_lr_folder_is_asked_about_once(sizes: list[int], said: str, tmp_path: Path, caplog) -> None:
    pairs = write_pairs(tmp_path / "set", ["a", "b", "c"], lr=8)
    for name, side in zip("abc", sizes, strict=True):
        Image.fromarray(make_image(0, side, side)).save(pairs / "LR" / f"{name}.png")
    images = [(name, pairs / "LR" / f"{name}.png") for name in "abc"]
    Folder(pairs / "LR", "", 4, "abc").prepare(images)
    assert [record.message for record in caplog.records if said in record.message] == caplog.messages != []
    caplog.clear()
    Folder(pairs / "HR", "", 4, "abc").prepare(images)
    Folder(pairs / "LR", "", 1, "abc").prepare(images)
    assert not caplog.messages
