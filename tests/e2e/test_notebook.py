"""The tutorial notebook runs from top to bottom, and its nouns show themselves."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "docs" / "tutorials" / "notebook.ipynb"


def test_the_notebook_runs_and_shows_pictures_and_tables(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    html = [
        "".join(output.get("data", {}).get("text/html", "") for output in cell.get("outputs", []))
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]
    cohort, volume, run, plan, answer = html[1], html[2], html[4], html[5], html[6]
    assert "nodule" in cohort
    assert "data:image/png" in volume
    assert "auroc" in run
    assert "preprocessing.size" in plan
    assert "data:image/png" in answer
    assert (tmp_path / "notebook-run" / "run" / "report.html").exists()
