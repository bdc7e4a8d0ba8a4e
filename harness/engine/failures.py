"""Failed images as warnings: one for each way of failing, however many images fail that way."""

from __future__ import annotations

import logging
import re

from isrbench.harness.api.records import Failure

log = logging.getLogger(__name__)


class FailureLog:
    """Warns of the first image that fails in a way at once, and of the others together at the end.

    Two messages say the same if they differ in nothing but the image's id and numbers.

    Args:
        what: What fails, such as a method's id.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._others: dict[str, list[str]] = {}

    def add(self, image: str, failure: Failure) -> None:
        """Take note of a failed image."""
        gist = re.sub(r"\d+", "0", failure.brief.replace(image, "\0"))
        if gist in self._others:
            self._others[gist].append(image)
            return
        self._others[gist] = []
        log.warning("%s failed on %s: %s", self._what, image, failure.brief)

    def end(self) -> None:
        """Warn of those that failed as another one had."""
        for images in self._others.values():
            if len(images) == 1:
                log.warning("%s failed in the same way on %s", self._what, images[0])
            elif images:
                log.warning("%s failed in the same way on %d other images", self._what, len(images))
