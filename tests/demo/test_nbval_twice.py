"""A notebook that approves says the same when it is run again, if its decisions are its own: nbval, strict."""

from __future__ import annotations

import os
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


def compare(notebook: Path, bot: dict[str, str]) -> tuple[int, str]:
    """Run it again, and compare what every cell says."""
    strange = ("COV", "MATRIX_", "BOT_DATABASE")
    environment = {n: value for n, value in os.environ.items() if not n.startswith(strange)}
    options = ["-c", "pyproject.toml", "-n0", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, notebook],
        cwd=ROOT,
        env=environment | bot,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("how", "same"), [(OWN, True), ("", False)], ids=["own", "beside"])
def test_run_twice_it_says_the_same_if_its_decisions_are_its_own(
    tmp_path: Path, how: str, same: bool
) -> None:
    (tmp_path / "bot").mkdir()
    with serve_recorded(tmp_path / "bot") as served:
        opening = OPEN.format(how=how.format(folder=tmp_path))
        notebook = run_notebook(make_notebook([opening, *CELLS]), tmp_path, settings(served))
        path = tmp_path / "approving.ipynb"
        write_notebook(path, notebook)
        for _ in range(2):
            code, said = compare(path, settings(served))
            assert code == (0 if same else 1), said
    kept = served.database.with_name("bot.db.decisions.json")
    assert kept.exists() != same


@pytest.mark.slow
def test_the_lesson_on_ones_own_bot_says_the_same_twice(tmp_path: Path) -> None:
    (tmp_path / "bot").mkdir()
    with serve_recorded(tmp_path / "bot") as served:
        notebook = run_notebook(read_notebook(APPROVE), tmp_path, settings(served))
        path = tmp_path / "lesson.ipynb"
        write_notebook(path, notebook)
        for _ in range(2):
            code, said = compare(path, settings(served))
            assert code == 0, said
