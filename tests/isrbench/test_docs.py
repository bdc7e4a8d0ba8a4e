"""The examples of docs/python.md and docs/notebook.ipynb run as they stand."""

from __future__ import annotations

import os
import re
import runpy
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.paths import ROOT


def test_the_examples_of_the_python_page_run_in_order(tmp_path: Path, monkeypatch, capsys) -> None:
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert len(blocks) > 5
    (tmp_path / "page.py").write_text("\n".join(blocks), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    runpy.run_path("page.py", run_name="__main__")
    assert "did you mean 'bicubic'" in capsys.readouterr().out
    assert (tmp_path / "page" / "index.html").is_file() and len(list((tmp_path / "restored").glob("*.png"))) == 24


@pytest.mark.process
def test_the_notebook_runs_and_is_kept_without_outputs(tmp_path: Path, monkeypatch) -> None:
    notebook = nbformat.read(ROOT / "docs" / "notebook.ipynb", as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells and not any(cell.outputs or cell.execution_count for cell in cells)
    monkeypatch.setitem(os.environ, "JUPYTER_PLATFORM_DIRS", "1")
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = "".join(output.get("text", "") for cell in cells for output in cell.outputs)
    assert "Bicubic" in printed and "Lanczos" in printed
    shown = [output for cell in cells for output in cell.outputs if output.output_type == "execute_result"]
    assert "text/markdown" in shown[1].data and "image/png" in shown[-1].data
