"""Hostile bytes at every door that reads what others wrote: each case is read, or refused in one line."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
import struct
import zipfile
import zlib
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from isrbench.harness.api.dataset import Archive, Card
from isrbench.harness.data.catalogue import load_card
from isrbench.harness.data.fetch import fetch_dataset
from isrbench.harness.data.pairs import load_pairs
from isrbench.harness.documents import read_csv, read_json, read_toml
from isrbench.harness.imaging.images import read_rgb, read_size
from isrbench.harness.imaging.pictures import read_picture
from isrbench.harness.store.frames import load_frames
from isrbench.harness.store.salvage import salvage
from isrbench.harness.store.schema import FILE
from isrbench.harness.store.store import Store
from tests.support import stores
from tests.support.fuzz import (
    ABSURD,
    SCALARS,
    Counter,
    changed,
    mutated,
    nested,
    png,
    share,
    toml_lines,
)
from tests.support.images import make_image, write_pairs

_PARTS = {
    "images": 0.25, "dataset cards": 0.15, "model cards": 0.1, "adapters": 0.15, "stores": 0.1, "rows": 0.05,
    "documents": 0.1, "zips": 0.1,
}  # fmt: skip
assert abs(sum(_PARTS.values()) - 1) < 1e-9


# ---------------------------------------------------------------- images


def _seeds_of_images() -> list[bytes]:
    image = Image.fromarray(make_image(0, 12, 10))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "x" * 40
    notes = PngImagePlugin.PngInfo()
    notes.add_text("a", "b" * 200, zip=True)
    notes.add_itxt("c", "d", "de", "e")
    more: dict[str, dict[str, Any]] = {
        "PNG": {"pnginfo": notes, "exif": exif}, "JPEG": {"exif": exif}, "WEBP": {"exif": exif, "lossless": True},
        "TIFF": {"compression": "tiff_lzw"}, "BMP": {}, "GIF": {}, "PPM": {},
    }  # fmt: skip
    found = []
    for kind, options in more.items():
        buffer = io.BytesIO()
        image.save(buffer, format=kind, **options)
        found.append(buffer.getvalue())
    return found


def _odd_png(
    size: tuple[int, int], depth: int, colour: int, kinds: list[tuple[bytes, bytes]], interlace: int, end: bool
) -> bytes:
    """A PNG whose checksums are right, whatever it says: without them, its reader would look no further."""
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, interlace)
    rows = zlib.compress(bytes(400))
    return png((b"IHDR", header), *kinds, (b"IDAT", rows), *([(b"IEND", b"")] if end else []))


_CHUNKS = st.tuples(
    st.sampled_from([b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"iCCP", b"PLTE", b"tRNS", b"gAMA", b"cHRM", b"pHYs", b"acTL",
                     b"fcTL", b"fdAT", b"sRGB", b"IHDR", b"abcd"]),
    st.one_of(st.binary(max_size=40), st.just(b"k\0\0" + zlib.compress(bytes(80 << 20)))),
)  # fmt: skip


@pytest.mark.filterwarnings("ignore")
def test_images_answer(tmp_path: Path, tried: Counter) -> None:
    sides = st.one_of(st.integers(0, 64), st.sampled_from([2**31 - 1, 2**32 - 1, 30000]))
    odd = st.builds(
        _odd_png, st.tuples(sides, sides), st.sampled_from([8, 1, 2, 4, 16, 3, 0, 255]), st.integers(0, 7),
        st.lists(_CHUNKS, max_size=3), st.integers(0, 2), st.booleans(),
    )  # fmt: skip
    path = tmp_path / "a.png"

    @share(_PARTS["images"])
    @given(st.one_of(mutated(*_seeds_of_images()), odd))
    def case(data: bytes) -> None:
        path.write_bytes(data)
        tried.answer(lambda: (read_size(path), read_rgb(path)))
        tried.answer(lambda: read_picture(path))

    case()
    tried.check(_PARTS["images"])


# ---------------------------------------------------------------- cards

_DATASET_CARD: dict[str, Any] = {
    "id": "mine", "title": "Mine", "summary": "", "scale": 4, "count": 2, "lr_size": [16, 16], "hr_size": [64, 64],
    "license": "CC0-1.0", "non_commercial": False, "citation": "", "source": "made", "notes": "", "folders": ["mine"],
    "layouts": [["LR", "HR"]], "lr_name": "{}", "hr_name": "{}", "cases": False, "has_hr": True, "root": "small",
    "content_hash": "0", "levels": "levels.csv",
    "archive": {"repo": "a/b", "file": "c.zip", "folder": "d", "gigabytes": 1.0},
    "table": {"path": "a/b", "split": "test", "id": "id", "lr": "lr", "hr": "hr"},
}  # fmt: skip
_MODEL_CARD: dict[str, Any] = {
    "id": "mine", "title": "Mine", "summary": "A network.", "architecture": "Compact", "scale": 4, "license": "MIT",
    "citation": "@misc{a}", "training_data": ["photos"], "denoise": False, "trained_on_metrics": ["psnr"],
    "file": [{"path": "net.pth", "sha256": "0" * 64}],
    "download": [{"url": "https://example.org/net.pth", "sha256": "0" * 64, "size": 3}],
    "package": {"name": "some_package", "distribution": "some-package", "files": {"net.pth": "0" * 64}},
}  # fmt: skip


def _cards(table: dict[str, Any], *absent: str) -> st.SearchStrategy[bytes]:
    table = {key: value for key, value in table.items() if key not in absent}
    return st.one_of(
        changed(table).map(toml_lines),
        changed(table).map(toml_lines),
        mutated(toml_lines(table), toml_lines({"\ufeffid": 1}), toml_lines(table).decode().encode("utf-16")),
        nested("a = [", "]").map(str.encode),
        nested("a.").map(lambda text: f"{text} = 1".encode()),
        st.integers(4000, 9000).map(lambda digits: b"scale = " + b"9" * digits),
    )


def test_dataset_cards_answer(tmp_path: Path, tried: Counter, caplog: pytest.LogCaptureFixture) -> None:
    write_pairs(tmp_path / "small", ["a", "b"])
    (tmp_path / "small" / "levels.csv").write_text("image,level\na,1\nb,2\n")
    path = tmp_path / "mine.toml"

    @share(_PARTS["dataset cards"])
    @given(_cards(_DATASET_CARD, "content_hash", "table"))
    def case(data: bytes) -> None:
        path.write_bytes(data)
        tried.answer(lambda: load_pairs(load_card(path), limit=1))
        caplog.clear()

    case()
    tried.check(_PARTS["dataset cards"])


def test_model_cards_answer(tmp_path: Path, tried: Counter) -> None:
    from isrbench.methods.zoo.card import find_weights, read_card

    path = tmp_path / "mine.toml"
    (tmp_path / "net.pth").write_bytes(b"weights")

    @share(_PARTS["model cards"])
    @given(st.one_of(*(_cards(_MODEL_CARD, *absent) for absent in (("download", "package"), ("file", "package"),
                                                                   ("file", "download"), ()))))  # fmt: skip
    def case(data: bytes) -> None:
        path.write_bytes(data)
        tried.answer(lambda: find_weights(read_card(path), path))

    case()
    tried.check(_PARTS["model cards"])


# ---------------------------------------------------------------- adapters


def _safetensors(header: Any, length: int | None, body: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def test_adapters_answer(tmp_path: Path, tried: Counter) -> None:
    from isrbench.methods.mor.config import MoRConfig
    from isrbench.methods.onestep.checkpoint import FORMAT, load_adapter

    path = tmp_path / "a.safetensors"
    config = {"shared": 1, "routed": 2, "top_k": 1, "zero_slots": 0, "dims": 7, "scale": 0.5, "gate_norm": "topk"}
    training = {"prompt": "", "estimator": "tiny", "colour_fix": "adain", "data": {}, "logit_scale": 1.0}
    tensor = {"dtype": "F32", "shape": [7, 1, 2], "data_offsets": [0, 56]}
    inner = st.one_of(
        changed(config).map(json.dumps), changed(training).map(json.dumps), nested("[", "]"), nested('{"a":', "}"),
        st.text(max_size=10),
    )  # fmt: skip
    fields = {"format": FORMAT, "method": "mor", "base": "", "config": json.dumps(config),
              "training": json.dumps(training), "timestep": "999"}  # fmt: skip

    def file(
        header: dict[str, Any], texts: dict[str, str], tensors: dict[str, Any], length: int | None, body: bytes
    ) -> bytes:
        return _safetensors({"__metadata__": header | texts, "router.weight": tensors}, length, body)

    whole = file(fields, {}, tensor, None, bytes(56))
    files = st.one_of(
        st.builds(
            file, st.just(fields), st.dictionaries(st.sampled_from(["config", "training"]), inner, max_size=2),
            st.just(tensor), st.none(), st.just(bytes(56)),
        ),
        st.builds(
            file, st.one_of(st.just(fields), changed(fields)), st.just({}), changed(tensor),
            st.one_of(st.none(), st.sampled_from([0, 1, 2**63, 2**64 - 1, 10**8, 100_000_001])), st.binary(max_size=60),
        ),
        mutated(whole),
        nested('{"a":', "}").map(lambda text: _safetensors(text.encode(), None, b"")),
    )  # fmt: skip

    def read() -> None:
        checkpoint = load_adapter(path, method="mor")
        MoRConfig.from_json(checkpoint.config)

    @share(_PARTS["adapters"])
    @given(files)
    def case(data: bytes) -> None:
        path.write_bytes(data)
        tried.answer(read)

    case()
    tried.check(_PARTS["adapters"])


# ---------------------------------------------------------------- stores


def _read_store(folder: Path) -> None:
    with Store(folder, create=False) as store:
        store.states()
        load_frames(store, store.run_ids())
        for run in store.run_ids():
            _ = store.images(run), store.scores(run), store.cost(run)


def _put(folder: Path, data: bytes) -> None:
    for ending in ("", "-wal", "-shm"):
        (folder / f"{FILE}{ending}").unlink(missing_ok=True)
    (folder / FILE).write_bytes(data)


@pytest.fixture(scope="module")
def small_store(tmp_path_factory) -> bytes:
    return (stores.write_store(tmp_path_factory.mktemp("store"), images=3) / FILE).read_bytes()


@pytest.mark.filterwarnings("ignore")
def test_stores_answer(small_store: bytes, tmp_path: Path, tried: Counter) -> None:
    @share(_PARTS["stores"] / 2)
    @given(mutated(small_store, small_store[:4096], small_store[:100]))
    def case(data: bytes) -> None:
        _put(tmp_path, data)
        tried.answer(lambda: _read_store(tmp_path))
        tried.answer(lambda: salvage(tmp_path))

    case()
    tried.check(_PARTS["stores"])


@pytest.mark.filterwarnings("ignore")
def test_rows_answer(small_store: bytes, tmp_path: Path, tried: Counter) -> None:
    """Values that no isrbench stored: another program's, or a plugin's of long ago; routing among them."""
    columns = [
        ("runs", "manifest"), ("runs", "cost"), ("runs", "invoked"), ("images", "severity"), ("images", "blur"),
        ("images", "lr"), ("images", "active_experts"), ("images", "seconds"), ("scores", "value"),
        ("scores", "traceback"), ("routing", "active"), ("routing", "zero"), ("routing", "layer"),
    ]  # fmt: skip
    values = st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(max_size=9), st.binary(max_size=9),
                       nested("[", "]"), nested('{"a":', "}"))  # fmt: skip

    @share(_PARTS["rows"])
    @given(st.sampled_from(columns), values)
    def case(place: tuple[str, str], value: Any) -> None:
        _put(tmp_path, small_store)
        # The table itself may refuse it.
        with closing(sqlite3.connect(tmp_path / FILE)) as db, suppress(sqlite3.Error, UnicodeEncodeError):
            db.execute(f"UPDATE {place[0]} SET {place[1]} = ? WHERE run = 'one'", (value,))
            db.commit()
        tried.answer(lambda: _read_store(tmp_path))

    case()
    tried.check(_PARTS["rows"])


# ---------------------------------------------------------------- texts


def test_documents_answer(tmp_path: Path, tried: Counter) -> None:
    """JSON as of routing configs, TOML, CSV as of levels, severities, curves and reported rows."""
    path = tmp_path / "a"
    texts = st.one_of(
        ABSURD.map(json.dumps), nested("[", "]"), nested('{"a":', "}"), st.text(),
        st.lists(st.lists(SCALARS.map(str), max_size=4).map(",".join), max_size=4).map("\n".join),
        st.integers(1, 9000).map(lambda digits: "9" * digits), st.just('"' + "x" * 200_000),
    ).map(lambda text: text.encode("utf-8", "surrogatepass"))  # fmt: skip

    @share(_PARTS["documents"])
    @given(st.one_of(texts, st.binary(), mutated(b'{"r": 4, "lora_alpha": NaN}', b"image,level\na,1\n")))
    def case(data: bytes) -> None:
        path.write_bytes(data)
        tried.answer(lambda: read_json(path, "fix"))
        for read in (read_toml, read_csv):
            Counter().answer(lambda read=read: read(path, "fix"))

    case()
    tried.check(_PARTS["documents"])


# ---------------------------------------------------------------- zips


def _zip(kind: int, name: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as file:
        file.writestr(f"set/{name}", data)
        file.writestr("set/LR/b.png", b"b" * 300)
        file.writestr("other/c.png", b"c")
    return buffer.getvalue()


def test_zips_answer(tmp_path: Path, tried: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    for name in ("ISRBENCH_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    path, root = tmp_path / "a.zip", tmp_path / "data"
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *names, **more: str(path))
    archive = Archive(repo="a/b", file="a.zip", folder="set", gigabytes=0.1)
    card = Card(id="mine", title="Mine", scale=4, license="CC0-1.0", source="made", archive=archive)
    noise = np.random.default_rng(0).integers(0, 256, 600, np.uint8).tobytes()
    names = ["LR/a.png", "LR/" + "n" * 255, "../out.png", "LR/\xe9.png", "LR/a.png/b.png"]
    kinds = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    seeds = [_zip(kind, name, noise) for kind in kinds for name in names]

    @share(_PARTS["zips"])
    @given(mutated(*seeds))
    def case(data: bytes) -> None:
        path.write_bytes(data)
        tried.answer(lambda: fetch_dataset(card, root, accept_license=True))
        shutil.rmtree(root, ignore_errors=True)

    case()
    tried.check(_PARTS["zips"])
    assert {entry.name for entry in tmp_path.iterdir()} <= {"a.zip"}
