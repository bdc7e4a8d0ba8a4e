"""What goes to the Hugging Face hub: an adapter, the rows of runs, or a report; gathered, then pushed in one commit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from isrbench.harness.api.tensor_files import check_weights
from isrbench.harness.errors import UserError, foreign
from isrbench.harness.files import check_file, some
from isrbench.harness.listed import LIST, is_whole, listed_files
from isrbench.harness.network import endpoint, offline
from isrbench.harness.store.export import TABLES, table_of

if TYPE_CHECKING:
    from isrbench.harness.store.frames import Frames

CARD = "README.md"
_HERE_ONLY = ["lr_path", "hr_path", "output_path"]
"""Columns that mean something on this machine alone."""


@dataclass(frozen=True)
class Shipment:
    """What is going to be pushed."""

    repo: str
    """``USER/NAME``."""
    kind: Literal["model", "dataset", "space"]
    files: Mapping[str, Path | bytes]
    """By their names in the repository."""

    @property
    def size(self) -> int:
        """Return the bytes of all files."""
        return sum(len(file) if isinstance(file, bytes) else file.stat().st_size for file in self.files.values())

    @property
    def address(self) -> str:
        """Return where people find it."""
        return "/".join([endpoint(), *([] if self.kind == "model" else [f"{self.kind}s"]), self.repo])


def adapter_shipment(repo: str, file: Path) -> Shipment:
    """Return an adapter as a model repository: the file and a card that says what its header says.

    Args:
        repo: ``USER/NAME``.
        file: What ``isrbench train`` wrote.

    Raises:
        UserError: If it is no safetensors file of an adapter.
    """
    fix = "give the adapter.safetensors that `isrbench train` wrote"
    check_file(file, fix, "adapter")
    check_weights(file, fix)
    from safetensors import safe_open

    with foreign(f"{file} is no adapter", fix), safe_open(file, framework="np") as opened:
        header: dict[str, str] = opened.metadata() or {}
    if not header.get("format", "").startswith("isrbench.") or "method" not in header:
        raise UserError(f"{file} is a safetensors file, but no adapter of isrbench", fix)
    facts = "\n".join(f"| {key} | {_cell(value)} |" for key, value in sorted(header.items()))
    card = (
        "---\nlibrary_name: isrbench\npipeline_tag: image-to-image\ntags: [super-resolution, isrbench]\n---\n\n"
        f"# {repo.partition('/')[2]}\n\nAn adapter of the method `{header['method']}` of isrbench.\n\n"
        f"    isrbench eval --method {header['method']} -o adapter={repo} --dataset sample\n\n"
        "It fits the base that it was trained on (`base`), and no other.\n\n"
        f"| header | |\n| --- | --- |\n{facts}\n"
    )
    return Shipment(repo, "model", {CARD: card.encode(), "adapter.safetensors": file})


def _cell(value: str) -> str:
    return "`" + value.replace("|", "\\|").replace("\n", " ") + "`"


def results_shipment(repo: str, frames: Sequence[Frames], page: str) -> Shipment:
    """Return the rows of runs as a dataset repository: scores, images and routing as Parquet, manifests, and a page.

    Columns of paths stay here; manifests hold the commands as they were typed.

    Args:
        repo: ``USER/NAME``.
        frames: The rows, of one runs folder or of several.
        page: Markdown: the tables.

    Raises:
        UserError: If there are no rows.
    """
    import pandas as pd

    if all(part.scores.empty for part in frames):
        raise UserError("these runs have no scores to push", "isrbench runs list")
    tables = {
        name: pd.concat([table_of(part, name) for part in frames], ignore_index=True).drop_duplicates(ignore_index=True)
        for name in TABLES
    }
    tables["images"] = tables["images"].drop(columns=_HERE_ONLY)
    files: dict[str, Path | bytes] = {}
    configs = []
    for name, table in tables.items():
        if not table.empty:
            written = BytesIO()
            table.to_parquet(written, index=False)
            files[f"{name}.parquet"] = written.getvalue()
            configs.append({"config_name": name, "data_files": f"{name}.parquet"})
    for manifest in (manifest for part in frames for manifest in part.runs["manifest"]):
        files[f"manifests/{manifest.run}.json"] = (manifest.model_dump_json(indent=2) + "\n").encode()
    head = f"---\ntags: [super-resolution, isrbench]\nconfigs: {json.dumps(configs)}\n---\n\n"
    return Shipment(repo, "dataset", {CARD: (head + page).encode(), **files})


def report_shipment(repo: str, folder: Path) -> Shipment:
    """Return a report as a static space, which shows the page; only what the report itself wrote.

    Raises:
        UserError: If there is no whole report.
    """
    if not is_whole(folder):
        fix = f"isrbench report, or name its folder: isrbench push report {repo} FOLDER"
        raise UserError(f"{folder} holds no whole report", fix)
    head = f"---\ntitle: {repo.partition('/')[2]}\nsdk: static\napp_file: index.html\n---\n"
    files: dict[str, Path | bytes] = {name: folder / name for name in (*listed_files(folder), LIST)}
    return Shipment(repo, "space", {CARD: head.encode(), **files})


def push(shipment: Shipment, *, private: bool = True) -> list[str]:
    """Push files in one commit, to a repository that is made where it is absent.

    The card of a repository that is there already is kept: somebody may have written it.

    Args:
        shipment: What goes.
        private: Whether a repository that is made now is private.

    Returns:
        The names of the files that went.

    Raises:
        UserError: If the network is forbidden, the hub is not reached, refuses, or does not know who asks.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    if switch := offline():
        raise UserError(f"nothing was pushed: {switch} is set", f"unset {switch}")
    api = HfApi(endpoint=endpoint())
    fix = "check the name, the network, and who you are: `hf auth login`, or HF_TOKEN with the right to write"
    with foreign(f"{shipment.address} was not pushed", fix):
        kept = api.repo_exists(shipment.repo, repo_type=shipment.kind) and api.file_exists(
            shipment.repo, CARD, repo_type=shipment.kind
        )
        sdk: dict[str, Any] = {"space_sdk": "static"} if shipment.kind == "space" else {}
        api.create_repo(shipment.repo, repo_type=shipment.kind, private=private, exist_ok=True, **sdk)
        names = [name for name in shipment.files if not (kept and name == CARD)]
        api.create_commit(
            shipment.repo, _additions(CommitOperationAdd, shipment, names), repo_type=shipment.kind,
            commit_message=f"isrbench: {some(names)}",
        )  # fmt: skip
    return names


def _additions(make: Any, shipment: Shipment, names: Sequence[str]) -> list[Any]:
    files = shipment.files
    return [make(name, file if isinstance(file := files[name], bytes) else str(file)) for name in names]
