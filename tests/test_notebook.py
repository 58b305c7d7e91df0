"""The notebook of the docs, executed from its first cell to its last."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

DOCS = Path(__file__).parents[1] / "docs"


def test_the_reward_of_a_video(monkeypatch):
    monkeypatch.setenv("STEPS", "12")
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    notebook = nbformat.read(DOCS / "reward_of_a_video.ipynb", as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(DOCS)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    said = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    assert "patchail on finger_spin after 276768 frames" in said and "random (13, 84, 84, 3) uint8" in said
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
