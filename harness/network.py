"""Whether the network may be used, and whether it is there: asked at most once a process."""

from __future__ import annotations

import logging
import os
import threading
from functools import cache

log = logging.getLogger(__name__)

HUB = "https://huggingface.co"
OFFLINE_SWITCHES = ("ISRBENCH_OFFLINE", "HF_HUB_OFFLINE")
PROBE_SECONDS = 4.0
"""How long the one attempt to reach the network may take."""


def offline() -> str | None:
    """Return the environment variable that forbids the network, or None."""
    on = {"1", "true", "yes", "on"}
    return next((s for s in OFFLINE_SWITCHES if os.environ.get(s, "").strip().lower() in on), None)


def endpoint() -> str:
    """Return the address of the Hugging Face hub, or of the mirror in ``$HF_ENDPOINT``."""
    return os.environ.get("HF_ENDPOINT", HUB).rstrip("/")


@cache
def network() -> bool:
    """Return whether the hub answers; asked once a process, on a thread because no timeout covers looking up a name."""
    import http.client
    import urllib.error
    import urllib.request

    answered = threading.Event()

    def ask() -> None:
        request = urllib.request.Request(endpoint(), method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=PROBE_SECONDS):
                answered.set()
        except urllib.error.HTTPError:
            answered.set()
        except (OSError, http.client.HTTPException, ValueError) as error:
            log.debug("%s: %s", endpoint(), error)

    asking = threading.Thread(target=ask, name="isrbench-network", daemon=True)
    asking.start()
    asking.join(PROBE_SECONDS)
    if not answered.is_set():
        log.warning("%s cannot be reached; metrics whose weights are absent stay unavailable", endpoint())
    return answered.is_set()
