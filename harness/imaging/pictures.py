"""Pictures to restore, with all that their restorations keep: colours, transparency, colour profile and EXIF."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from PIL import Image

from isrbench.harness.errors import UserError
from isrbench.harness.imaging.colour import is_for, left_out, profile_of, title_of, to_srgb
from isrbench.harness.imaging.deep import bits_of, extra_channels, frames_of
from isrbench.harness.imaging.images import EXIF_ORIENTATION, is_lossy_under_lossless_name
from isrbench.harness.imaging.opening import PHOTO_PIXELS, opened

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MODES = frozenset({"RGB", "RGBA", "L", "LA", "1", "P", "CMYK"})
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
"""What turns a picture upright, by its EXIF orientation (Exif 2.32, 4.6.4 A)."""
_LOW_BYTES = {
    "RGB;16B": "RGB;16L", "RGB;16L": "RGB;16B", "RGB;16N": "RGB;16B", "RGBA;16B": "RGBA;16L", "RGBA;16L": "RGBA;16B",
    "RGBA;16N": "RGBA;16B",
}  # fmt: skip
"""How Pillow has to read 16-bit pixels to keep their low bytes in place of their high ones: in the other order."""
_KEPT_TAGS = frozenset({270, 271, 272, 305, 306, 315, 316, 18246, 33432, 40091, 40092, 40093, 40094, 40095})
"""Of a picture's first EXIF directory: description, camera, software, date, artist, copyright, rating, titles. The
others describe how the pixels lie in the file, or repeat the colour profile."""
_PLANES = 284
_LONGEST_EXIF = 65_000
_EXIF, _GPS, _WIDTH, _HEIGHT = 0x8769, 0x8825, 0xA002, 0xA003


class Picture(NamedTuple):
    """A picture as 8-bit RGB and what belongs to it, upright."""

    pixels: NDArray[np.uint8]
    """uint8 (H, W, 3)."""
    alpha: NDArray[np.uint8] | None
    """uint8 (H, W), 255 = opaque; None where all of it is."""
    profile: bytes | None
    """ICC profile of the pixels; None = sRGB, as what has none."""
    exif: bytes
    """EXIF block without orientation and sizes; empty where there is none."""
    notes: tuple[str, ...]
    """What was done or left out to get here."""

    @property
    def size(self) -> tuple[int, int]:
        """Return (height, width)."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def profile_left_out(self) -> tuple[str, ...]:
        """Return a note for whoever takes the pixels without their profile; none where it is sRGB."""
        return left_out(self.profile)


def read_picture(path: Path) -> Picture:
    """Read a picture to restore; the file stays as it is. Never for scoring or training.

    It is turned upright as its EXIF says, channels of 16 bits are rounded to 8, grey, palettes and CMYK become RGB, and
    transparency is kept apart: colours that nobody sees become those of the nearest visible pixel, so that they do not
    bleed into what is seen.

    Raises:
        UserError: If the file is unreadable, of several frames, has channels of no known meaning or floats.
    """
    with opened(path, most=PHOTO_PIXELS) as image:
        _refuse_unfit(image, str(path))
        low = _low_bytes(image, path)
        return _picture(image, path, low)


def picture_of(image: Image.Image, name: str) -> Picture:
    """Turn a Pillow image into a :class:`Picture`.

    Args:
        image: Opened, not necessarily decoded.
        name: What messages call it.

    Raises:
        UserError: As :func:`read_picture`.
    """
    _refuse_unfit(image, name)
    try:
        return _picture(image, None, None)
    except (OSError, SyntaxError, ValueError) as error:  # it may not be decoded yet
        raise UserError(f"{name} is damaged: {error}", "copy the file again from its source") from error


def with_size(exif: bytes, height: int, width: int) -> bytes:
    """Return an EXIF block that states another size of the picture; empty stays empty."""
    if not exif:
        return exif
    block = Image.Exif()
    block.load(exif)
    block[_EXIF] = dict(block.get_ifd(_EXIF)) | {_WIDTH: width, _HEIGHT: height}
    if _GPS in block:  # asking for one that is not there makes an empty one
        block[_GPS] = dict(block.get_ifd(_GPS))
    return block.tobytes()


def _refuse_unfit(image: Image.Image, name: str) -> None:
    save = "save it as 8- or 16-bit RGB with the program that made it"
    if image.mode not in _MODES and not image.mode.startswith("I;16"):
        raise UserError(f"{name} has pixel mode {image.mode}, whose white is not known", save)
    if frames_of(image) > 1:
        raise UserError(
            f"{name} holds {frames_of(image)} frames or pages",
            "save the frame or page that is meant as an image of its own",
        )
    if extra_channels(image):
        raise UserError(f"{name} has channels besides its colours, which a restoration cannot keep", save)
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    if tags.get(_PLANES) == 2 and bits_of(image) > 8:  # Pillow makes other colours of them
        raise UserError(f"{name} is a TIFF of 16 bits whose colours lie apart (separate planes)", save)


def _low_bytes(image: Image.Image, path: Path) -> NDArray[np.uint8] | None:
    """Return the low bytes of 16-bit colour, of which Pillow keeps the high ones alone; None where there are none."""
    tiles = cast("list[Any]", getattr(image, "tile", None) or [])
    raw = tiles[0][3] if tiles else None
    mode = raw[0] if isinstance(raw, tuple) and raw else raw
    if bits_of(image) != 16 or not isinstance(mode, str) or mode not in _LOW_BYTES:
        return None
    with opened(path, most=PHOTO_PIXELS) as again:
        other = _LOW_BYTES[mode]
        again.tile = [  # type: ignore[attr-defined]
            tile._replace(args=(other, *raw[1:]) if isinstance(raw, tuple) else other) for tile in tiles
        ]
        return np.asarray(again)


def _picture(image: Image.Image, path: Path | None, low: NDArray[np.uint8] | None) -> Picture:
    bits, deep_grey = bits_of(image), image.mode.startswith("I;16")
    image.load()
    exif = image.getexif()
    turn = _TURNS.get(exif.get(EXIF_ORIENTATION, 1))
    notes = [] if turn is None else ["it is turned upright, as its EXIF says"]
    if path is not None and is_lossy_under_lossless_name(image, path):
        notes.append(f"it is a {image.format} by its content, which loses something, whatever its name says")
    plain: Image.Image = image
    if deep_grey:
        plain = Image.fromarray(_rounded(np.asarray(image)))
    elif low is not None:
        plain = Image.fromarray(_rounded(np.asarray(image).astype(np.uint16) * 256 + low))
    if bits > 8:
        how = "rounded" if deep_grey or low is not None or image.format == "PPM" else "cut"
        notes.append(f"its {bits} bits a channel are {how} to 8")
    rgb, alpha, profile, said = _coloured(plain, profile_of(image))
    if turn is not None:
        rgb, alpha = rgb.transpose(turn), None if alpha is None else alpha.transpose(turn)
    block, damaged = _kept(exif)
    pixels, mask = np.array(rgb), None if alpha is None else np.array(alpha)
    if mask is not None:
        pixels = _without_hidden_colours(pixels, mask)
    return Picture(pixels, mask, profile, block, (*notes, *said, *damaged))


def _rounded(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Round 16-bit values to 8: 65535 is 257 times 255."""
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _coloured(
    image: Image.Image, profile: bytes | None
) -> tuple[Image.Image, Image.Image | None, bytes | None, tuple[str, ...]]:
    """Return (RGB, alpha or None, the profile that stays, notes)."""
    alpha, notes = None, []
    if image.has_transparency_data:
        image = image.convert("RGBA")
        mask = image.getchannel("A")
        if mask.getextrema() != (255, 255):
            alpha = mask
            notes.append("its transparency is enlarged apart from its colours")
    if profile is not None and not is_for(profile, "RGB"):
        used = False
        if (image.mode == "CMYK" and is_for(profile, "CMYK")) or (image.mode == "L" and is_for(profile, "GRAY")):
            try:
                image, used = to_srgb(image, profile), True
            except ValueError:  # a damaged one
                used = False
        notes.append(
            f"its colour profile ({title_of(profile)}) is not one for RGB and "
            + ("was applied: the colours are sRGB's now" if used else "left out")
        )
        profile = None
    if image.mode == "CMYK":
        notes.append("CMYK without a colour profile became RGB by the plain formula, so colours may be off")
    return image.convert("RGB"), alpha, profile, tuple(notes)


def _without_hidden_colours(pixels: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Set wholly transparent pixels to the colour of the nearest one that is not."""
    from scipy.ndimage import distance_transform_edt

    hidden = alpha == 0
    if not hidden.any() or hidden.all():
        return pixels
    nearest = cast("NDArray[np.intp]", distance_transform_edt(hidden, return_distances=False, return_indices=True))
    return np.ascontiguousarray(pixels[tuple(nearest)])


def _kept(exif: Image.Exif) -> tuple[bytes, tuple[str, ...]]:
    """Return (an EXIF block of what does not describe the file itself, notes)."""
    block = Image.Exif()
    try:
        for tag, value in exif.items():
            if tag in _KEPT_TAGS:
                block[tag] = value
        for directory in (_EXIF, _GPS):
            found = {tag: value for tag, value in exif.get_ifd(directory).items() if tag not in (_WIDTH, _HEIGHT)}
            if found:
                block[directory] = found
        kept = block.tobytes() if len(block) else b""
        if len(kept) > _LONGEST_EXIF:
            return b"", (f"its EXIF is left out: its {len(kept):,} bytes are more than a JPEG can hold",)
        return kept, ()
    except Exception:  # a damaged block makes Pillow raise what it likes
        return b"", ("its EXIF is damaged and left out",)
