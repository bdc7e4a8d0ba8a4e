"""What begins now, told while a command works: the one kind of log line that the command line shows without ``-v``."""

from __future__ import annotations

import logging

steps = logging.getLogger("isrbench.steps")
"""Told at INFO, in lines such as ``loading mor on cpu...``; ``isrbench -q`` and a Python program do not show them."""
