"""Colour profiles: whether one says the same as none does, and what it is called."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

_SAME = 3
"""Grey levels by which a profile may move a colour and still be called sRGB: versions of sRGB differ by rounding."""
_UNUSABLE = (ImageCms.PyCMSError, OSError, ValueError, TypeError, ImportError)
"""What a damaged profile makes Pillow raise, and a Pillow that was built without colour management."""


def profile_of(image: Image.Image) -> bytes | None:
    """Return an image's ICC profile, if it has one."""
    return image.info.get("icc_profile") or None


def is_for(profile: bytes, space: str) -> bool:
    """Return whether a profile is for values of a colour space, such as ``RGB``, ``GRAY`` or ``CMYK``."""
    return profile[16:20] == space.ljust(4).encode()


@lru_cache(16)
def title_of(profile: bytes) -> str:
    """Return what a profile calls itself."""
    try:
        title = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(profile))).strip()
    except _UNUSABLE:
        return "damaged"
    return title.splitlines()[0] if title else "without a name"


def left_out(profile: bytes | None) -> tuple[str, ...]:
    """Return a note for whoever takes pixels without their RGB profile; none where there is none or it is sRGB."""
    if profile is None or is_srgb(profile):
        return ()
    return (f"its colour profile ({title_of(profile)}) is left out: the values are taken as if they were sRGB",)


@lru_cache(16)
def is_srgb(profile: bytes) -> bool:
    """Return whether colours under an RGB profile are what they are without one, which is sRGB, to within rounding."""
    if not is_for(profile, "RGB"):
        return False
    levels = np.linspace(0, 255, 6).astype(np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(6, 36, 3)
    try:
        moved = np.asarray(to_srgb(Image.fromarray(colours), profile))
    except ValueError:
        return False
    return int(np.abs(moved.astype(int) - colours).max()) <= _SAME


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Turn an image from the colours of a profile into sRGB, relative to white; mode RGB.

    Raises:
        ValueError: If the profile is damaged or does not fit the image.
    """
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
        target = ImageCms.createProfile("sRGB")
        moved = ImageCms.profileToProfile(image, source, target, renderingIntent=intent, outputMode="RGB")
    except _UNUSABLE as error:
        raise ValueError(f"its colour profile cannot be used: {error}") from error
    assert moved is not None  # as inPlace is False
    return moved
