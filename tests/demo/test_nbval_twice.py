"""A notebook that approves says the same when it is run again, if its decisions are its own: nbval, strict."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.make_notebooks import (
    find_notebooks,
    make_notebook,
    read_notebook,
    run_notebook,
    write_notebook,
)
from toolkit.demo.recorded import Served, serve_recorded

ROOT = Path(__file__).parent.parent.parent
APPROVE = find_notebooks()[1]
OPEN = """from pathlib import Path
from tempfile import mkdtemp
from toolkit import Session, review
session = await Session.open({how})"""
CELLS = [
    'print(session.pending()["status"].value_counts().to_dict())',
    'print(session.approve(status="missing"))',
    "review(session)",
    'session.plan.to_frame()["decision"].value_counts()',
]
OWN = 'decisions=Path(mkdtemp(dir="{folder}"), "decisions.json")'


def settings(served: Served) -> dict[str, str]:
    return {
        "MATRIX_HOMESERVER": served.url,
        "MATRIX_ACCESS_TOKEN": served.token,
        "BOT_DATABASE": str(served.database),
    }


def compare(folder: Path, bot: dict[str, str]) -> dict[str, set[int]]:
    """Run the notebooks again, compare what every cell says, and return the numbers of those that failed."""
    strange = ("COV", "MATRIX_", "BOT_DATABASE")
    environment = {n: value for n, value in os.environ.items() if not n.startswith(strange)}
    options = ["-c", "pyproject.toml", "-n0", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, folder],
        cwd=ROOT,
        env=environment | bot,
        capture_output=True,
        text=True,
        check=False,
    )
    found: dict[str, set[int]] = {path.stem: set() for path in folder.glob("*.ipynb")}
    told = re.findall(r"^FAILED .*?(\w+)\.ipynb::Cell (\d+)", done.stdout, re.MULTILINE)
    assert done.returncode == bool(told), done.stdout + done.stderr
    for name, cell in told:
        found[name].add(int(cell))
    return found


@pytest.mark.slow
def test_run_again_it_says_the_same_if_its_decisions_are_its_own(tmp_path: Path) -> None:
    """So does the lesson on one's own bot, which approves nothing."""
    (tmp_path / "bot").mkdir()
    (tmp_path / "notebooks").mkdir()
    with serve_recorded(tmp_path / "bot") as served:
        other = Path(shutil.copy(served.database, tmp_path / "other.db"))
        for name, notebook in {
            "lesson": read_notebook(APPROVE),
            "own": make_notebook([OPEN.format(how=OWN.format(folder=tmp_path)), *CELLS]),
            "beside": make_notebook([OPEN.format(how=f"database={str(other)!r}"), *CELLS]),
        }.items():
            run_notebook(notebook, tmp_path, settings(served))
            write_notebook(tmp_path / "notebooks" / f"{name}.ipynb", notebook)
        kept = [
            database.with_name(f"{database.name}.decisions.json").exists()
            for database in (other, served.database)
        ]
        assert kept == [True, False]
        failed = compare(tmp_path / "notebooks", settings(served))
    assert failed.pop("beside") and failed == {"lesson": set(), "own": set()}
