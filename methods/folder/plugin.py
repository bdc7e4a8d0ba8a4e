"""The ``folder`` entry point: score PNGs that were made elsewhere."""

from __future__ import annotations

from isrbench.harness.api.method import MethodInfo, MethodPlugin
from isrbench.methods.folder.options import FolderOptions

PLUGIN = MethodPlugin(
    info=MethodInfo(
        id="folder",
        title="Folder",
        summary="Scores restored PNGs that were made elsewhere, pixel for pixel.",
        license="that of the images",
        needs=("a folder of restored PNGs",),
    ),
    options=FolderOptions,
    build="isrbench.methods.folder.images:build",
)
