"""``isrbench demo``."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated

import typer

from isrbench.harness.cli.arguments import Device, listed
from isrbench.harness.cli.ids import method_id
from isrbench.harness.errors import UserError

_USUAL = ("bicubic", "lanczos", "mor", "realesrgan-x4plus")
"""Offered where nothing is said; those that cannot run here are left out."""


def demo(
    methods: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Ids to offer. [default: bicubic, lanczos, mor, realesrgan-x4plus]"),
    ] = None,
    scale: Annotated[int, typer.Option(min=1, help="How many times larger.")] = 4,
    largest: Annotated[int, typer.Option(min=16, help="Of a larger photo the middle, so many pixels a side.")] = 256,
    device: Device = "auto",
    host: Annotated[str, typer.Option(help="0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Where the page is served.")] = 7860,
) -> None:
    """Serve a page where one drops a photo, picks methods and moves a slider between before and after.

    Photos stay on this machine. Needs Gradio: docs/hub.md says how to install it.

    Example: `isrbench demo --methods bicubic,mor`
    """
    if find_spec("gradio") is None:
        raise UserError(
            "the demo needs Gradio, which is not installed",
            'grep -v "^pillow==" constraints.txt > demo.txt && pip install -c demo.txt ".[demo]"; why: docs/hub.md',
        )
    from isrbench.harness.cli.demo_page import build_page, serve
    from isrbench.harness.cli.terminal import show_aside, show_text, show_warning
    from isrbench.harness.engine.trying import load_method

    words = listed(methods)
    asked = None if words is None else [method_id(word) or word for word in words]
    loaded = []
    for id in asked if asked is not None else _USUAL:
        show_aside(f"loading {id}...")
        try:
            loaded.append(load_method(id, scale, device))
        except UserError as error:
            if asked is not None:
                raise
            show_warning(f"{id} is left out: {error.message}", error.fix)
    if not loaded:
        raise UserError("no method to offer", "isrbench list methods")
    page = build_page(loaded, scale=scale, largest=largest, device=device)
    show_text(f"http://{host}:{port}  (Ctrl-C ends it)")
    serve(page, host, port)
