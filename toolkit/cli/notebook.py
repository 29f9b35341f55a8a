"""`matrix-drift notebook`: the lessons in a folder of the reader's own, and JupyterLab on them."""

import importlib.util
import os
import shlex
import sys
from pathlib import Path
from typing import NoReturn

import toolkit
from toolkit.cli.output import say
from toolkit.database.address import is_server
from toolkit.errors import ToolkitError
from toolkit.sources.settings import FILE, TOKEN_FILE, find_settings

FOLDER = Path("matrix-drift-notebooks")
_PATHS = ("BOT_DATABASE", TOKEN_FILE)


def notebook(directory: Path | None, *, start: bool) -> int:
    """Copy what isn't there yet, and become JupyterLab, or say how to start one."""
    folder = directory or FOLDER
    first, kept = copy_lessons(folder)
    say(f"The lessons are in {folder}.")
    if kept:
        say(f"You have changed these, so they stay as they are: {', '.join(kept)}.")
    _mention_settings(folder)
    if start:
        _become_jupyterlab(first)
    say(f"Open them with: jupyter lab {shlex.quote(str(first))}")
    return 0


def lessons() -> list[Path]:
    """The notebooks, in order: inside an installed package, beside it in a working copy."""
    package = Path(toolkit.__file__).parent
    for folder in (package / "notebooks", package.parent / "notebooks"):
        if found := sorted(folder.glob("*.ipynb")):
            return found
    raise ToolkitError("The notebooks are missing from this installation of matrix-drift.")


def copy_lessons(folder: Path) -> tuple[Path, list[str]]:
    """Put the lessons into a folder: the first one's path, and names of those kept as changed."""
    kept = []
    sources = lessons()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for source in sources:
            content = source.read_bytes()
            try:
                with (folder / source.name).open("xb") as file:
                    file.write(content)
            except FileExistsError:
                if (folder / source.name).read_bytes() != content:
                    kept.append(source.name)
    except OSError as error:
        raise ToolkitError(f"Can't put the notebooks into {folder}: {error.strerror}.") from None
    return folder / sources[0].name, kept


def jupyterlab_available() -> bool:
    """Say whether JupyterLab is installed, without importing it."""
    return importlib.util.find_spec("jupyterlab") is not None


def _become_jupyterlab(first: Path) -> NoReturn:
    """In our place, so that Ctrl+C, its questions and its exit code are JupyterLab's own."""
    if not jupyterlab_available():
        raise ToolkitError(
            "JupyterLab isn't installed: pip install 'matrix-drift[notebook]' and try again."
        )
    command = [sys.executable, "-m", "jupyterlab", str(first)]
    if os.geteuid() == 0:  # a container's root has nothing else to be
        command.append("--allow-root")
    sys.stdout.flush()
    os.execve(sys.executable, command, _environment())  # noqa: S606  # no shell is wanted


def _mention_settings(folder: Path) -> None:
    """A notebook runs in its own folder: what it finds is what lies there or above."""
    here = find_settings()
    if here and find_settings(folder) != here:
        say(f"They won't find {here}: put a {FILE} into {folder} or above it.")


def _environment() -> dict[str, str]:
    """Ours, with paths that mean the same in the notebooks' folder."""
    named = {name: os.environ[name] for name in _PATHS if os.environ.get(name)}
    paths = {name: path for name, path in named.items() if not is_server(path)}
    return {**os.environ, **{name: os.path.abspath(path) for name, path in paths.items()}}
