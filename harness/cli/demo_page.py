"""The demo's page, in Gradio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr  # pyright: ignore[reportMissingImports]
import numpy as np
import pandas as pd

from isrbench.harness.engine.trying import Loaded, Tried, severity_of, try_methods
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.pictures import read_picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

INPUT = "Photo, pixels repeated"
"""What the slider calls the photo itself."""
_FONTS = ["system-ui", "sans-serif"]
"""No font is fetched from anywhere."""


def build_page(loaded: Sequence[Loaded], *, scale: int, largest: int, device: str) -> gr.Blocks:
    """Return the page.

    Args:
        loaded: The methods that it offers.
        scale: As they were loaded with.
        largest: Side in pixels; of a larger photo the middle is taken.
        device: As they were loaded with.
    """
    titles = [own.title for own in loaded]

    def restore(file: str | None, chosen: list[str]) -> tuple[Any, ...]:
        if file is None or not chosen:
            raise gr.Error("Drop a photo and pick a method.", duration=None)
        try:
            pixels, note = _middle(read_picture(Path(file)).pixels, largest)
        except UserError as error:
            raise gr.Error(error.message, duration=None) from error
        tried = list(try_methods(pixels, [own for own in loaded if own.title in chosen], scale, device))
        versions = {INPUT: np.asarray(pixels.repeat(scale, axis=0).repeat(scale, axis=1))}
        versions |= {own.title: own.pixels for own in tried if own.pixels is not None}
        names = list(versions)
        before, after = names[0], names[-1]
        return (
            versions, (versions[before], versions[after]),
            gr.Dropdown(names, value=before), gr.Dropdown(names, value=after),
            _severities(pixels), _facts(tried), *_layers(tried), note,
        )  # fmt: skip

    def slide(versions: Mapping[str, NDArray[np.uint8]] | None, before: str, after: str) -> Any:
        return None if not versions else (versions[before], versions[after])

    with gr.Blocks(title="isrbench demo", analytics_enabled=False, delete_cache=(3600, 3600)) as page:
        gr.Markdown(
            f"# isrbench demo\nDrop a photo, pick methods, and compare what they make of it, {scale} times larger."
        )
        state = gr.State()
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                photo = gr.Image(
                    type="filepath", image_mode=None, sources=["upload", "clipboard"], label="Photo", height=260
                )
                chosen = gr.CheckboxGroup(titles, value=titles[-1:], label="Methods")
                button = gr.Button("Restore", variant="primary", elem_id="restore")
                note = gr.Markdown(elem_id="note")
            with gr.Column(scale=3, min_width=320):
                slider = gr.ImageSlider(label="Before and after", elem_id="slider", interactive=False, max_height=640)
                with gr.Row():
                    before = gr.Dropdown([], label="Before", interactive=True)
                    after = gr.Dropdown([], label="After", interactive=True)
        with gr.Row():
            severities = gr.Dataframe(label="Severity: 0 clean, 1 worst", elem_id="severity", interactive=False)
            facts = gr.Dataframe(label="Methods", elem_id="facts", interactive=False)
        layers = gr.LinePlot(
            x="layer", y="active experts", color="method", label="Active experts, layer by layer", elem_id="layers",
            height=260, visible=False,
        )  # fmt: skip
        table = gr.Dataframe(
            label="Active experts, layer by layer", elem_id="experts", interactive=False, visible=False
        )
        outputs = [state, slider, before, after, severities, facts, layers, table, note]
        button.click(restore, [photo, chosen], outputs)
        for pick in (before, after):
            pick.input(slide, [state, before, after], slider)
    return page


def serve(page: gr.Blocks, host: str, port: int) -> None:
    """Serve the page until the process is told to end.

    Raises:
        UserError: If the port is taken.
    """
    theme = gr.themes.Default(font=_FONTS, font_mono=["monospace"])
    try:
        page.launch(server_name=host, server_port=port, share=False, quiet=True, ssr_mode=False, theme=theme)
    except OSError as error:
        raise UserError(f"the demo cannot be served at {host}:{port}: {error}", "choose another --port") from error


def _middle(pixels: NDArray[np.uint8], largest: int) -> tuple[NDArray[np.uint8], str]:
    """Return the middle of a photo, at most ``largest`` pixels a side, and a note where that is not all of it."""
    height, width = pixels.shape[:2]
    own = (min(height, largest), min(width, largest))
    top, left = (height - own[0]) // 2, (width - own[1]) // 2
    cut = pixels[top : top + own[0], left : left + own[1]]
    if own == (height, width):
        return cut, ""
    return cut, f"Shown: the middle {own[1]}x{own[0]} of {width}x{height} pixels (`--largest`)."


def _severities(pixels: NDArray[np.uint8]) -> pd.DataFrame:
    found = severity_of(pixels)
    rows = [("mean", sum(found.values()) / len(found)), *found.items()]
    return pd.DataFrame([(name, f"{value:.3f}") for name, value in rows], columns=["dimension", "severity"])


def _facts(tried: Sequence[Tried]) -> pd.DataFrame:
    rows = [
        (
            own.title, f"{own.seconds:.2f}",
            f"{own.trace.mean_active:.2f} ({min(own.trace.active)} to {max(own.trace.active)})" if own.trace else "–",
            own.failure.brief if own.failure else "",
        )
        for own in tried
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["method", "seconds", "active experts a layer", "failed"])


def _layers(tried: Sequence[Tried]) -> tuple[Any, Any]:
    """Return the plot and the table of active experts; neither is there where no method routes."""
    rows = [
        (own.title, place, name, active, zero)
        for own in tried
        if own.trace is not None
        for place, (name, active, zero) in enumerate(
            zip(own.trace.layers, own.trace.active, own.trace.zero, strict=True)
        )
    ]
    frame = pd.DataFrame(rows, columns=["method", "layer", "name", "active experts", "zero slots"])
    return gr.LinePlot(frame, visible=bool(rows)), gr.Dataframe(frame, visible=bool(rows))
