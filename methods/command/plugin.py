"""The ``command`` entry point: any external program, one image or a folder of images a call."""

from __future__ import annotations

from isrbench.harness.api.method import MethodInfo, MethodPlugin
from isrbench.methods.command.options import CommandOptions

PLUGIN = MethodPlugin(
    info=MethodInfo(
        id="command",
        title="Command",
        summary="Runs any external program that restores an image file or a folder of them.",
        license="that of the program",
        needs=("the program",),
    ),
    options=CommandOptions,
    build="isrbench.methods.command.program:build",
)
