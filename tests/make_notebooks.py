"""Runs the notebooks on the recorded demo world and stores their outputs: `python -m tests.make_notebooks`.

Write in JupyterLab, then run this: what varies from run to run or from machine to machine is left out.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from nbclient import NotebookClient
from PIL import Image

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
_CELL_SECONDS = 120
_nbformat: Any = importlib.import_module("nbformat")  # its functions have no types
_OURS = ("MATRIX_", "BOT_DATABASE")
_PNG = "image/png"
_COLOURS = 32
_WIDGET = "application/vnd.jupyter.widget-view+json"


def find_notebooks() -> list[Path]:
    """The lessons in their order."""
    return sorted(NOTEBOOKS.glob("*.ipynb"))


def read_notebook(path: Path) -> Any:
    return _nbformat.read(path, as_version=4)


def write_notebook(path: Path, notebook: Any) -> None:
    _nbformat.write(notebook, path)


def make_notebook(sources: Iterable[str]) -> Any:
    """A notebook of code cells that were not run yet."""
    new = _nbformat.v4
    return new.new_notebook(cells=[new.new_code_cell(source) for source in sources])


def run_notebook(notebook: Any, folder: Path, settings: Mapping[str, str]) -> Any:
    """Run every cell in `folder`, with `settings` as the only word on whose bot it is.

    Raises `nbclient.exceptions.CellExecutionError` for the first cell that raises.
    """
    strange = {name for name in os.environ if name.startswith(_OURS)}
    environment = {name: value for name, value in os.environ.items() if name not in strange}
    client = NotebookClient(
        notebook, timeout=_CELL_SECONDS, kernel_name="python3", store_widget_state=False
    )
    client.resources = {"metadata": {"path": str(folder)}}
    asyncio.run(client.async_execute(env=environment | dict(settings)))
    return notebook


def normalise(notebook: Any) -> str:
    """The file's text, without times, widgets' ids and this machine's Python."""
    notebook.metadata = _nbformat.from_dict({"kernelspec": KERNEL})
    for cell in notebook.cells:
        cell.metadata = _nbformat.from_dict(
            {name: value for name, value in cell.metadata.items() if name == "tags"}
        )
        for output in cell.get("outputs", ()):
            output.get("data", {}).pop(_WIDGET, None)
    text: str = _nbformat.writes(notebook, version=4)
    return f"{text.rstrip()}\n"


def shrink_pictures(notebook: Any) -> None:
    """Leave as many colours as a drawing needs, a fifth of the size; the same in HTML that shows it."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if _PNG in data:
                whole = data[_PNG]
                picture = Image.open(BytesIO(b64decode(whole))).convert("RGB")
                shrunk = BytesIO()
                picture.quantize(_COLOURS).save(shrunk, "png", optimize=True)
                data[_PNG] = b64encode(shrunk.getvalue()).decode()
                if "text/html" in data:
                    data["text/html"] = data["text/html"].replace(whole.strip(), data[_PNG])


def main() -> None:
    """Run and rewrite all notebooks, or those whose names begin as the arguments do."""
    for path in find_notebooks():
        if path.name.startswith(tuple(sys.argv[1:]) or ""):
            notebook = run_notebook(read_notebook(path), NOTEBOOKS, {})
            shrink_pictures(notebook)
            path.write_text(normalise(notebook), encoding="utf-8")
            sys.stdout.write(f"{path.name}: {path.stat().st_size / 1000:.0f} kB\n")


if __name__ == "__main__":
    main()
