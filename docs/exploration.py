"""Runs docs/exploration.ipynb from the top to the bottom, in an empty folder, and keeps what its cells show.

python docs/exploration.py
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).with_suffix(".ipynb")
STEPS = re.compile(r"^STEPS = (\d+)", re.MULTILINE)


def run(folder: Path, steps: int | None = None) -> Any:
    """The notebook with the outputs of a run in `folder`; of so many steps, where they are given.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell failed that was not meant to.
    """
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    if steps is not None:
        cells = [cell for cell in notebook.cells if STEPS.search(cell.source)]
        if len(cells) != 1:
            raise ValueError("one cell of the notebook says STEPS = ...")
        cells[0].source = STEPS.sub(f"STEPS = {steps}", cells[0].source)
    where = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=600, resources=where, record_timing=False, coalesce_streams=True)
    return client.execute(env={**os.environ, "OMP_NUM_THREADS": "1"})


def outputs(notebook: Any) -> Iterator[Any]:
    """Everything that its cells show."""
    for cell in notebook.cells:
        yield from cell.get("outputs", ())


def tidy(notebook: Any) -> Any:
    """The same without what differs from machine to machine: bars that are gone, the kernel's version, ids."""
    for cell in notebook.cells:
        kept = [one for one in cell.get("outputs", ()) if one.get("data", {}).get("text/html") != ""]
        if cell.cell_type == "code":
            cell.outputs = kept
    for one in outputs(notebook):
        data = one.get("data", {})
        if len(data) > 1:  # a picture or a table
            data.pop("text/plain", None)
    notebook.metadata.pop("language_info", None)
    return notebook


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        nbformat.write(tidy(run(Path(folder))), NOTEBOOK)
