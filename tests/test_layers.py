"""Who may import whom: the contracts in `pyproject.toml` hold, and each of them can be broken."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LINTER = Path(sys.executable).with_name("lint-imports")


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(LINTER), "--config", str(ROOT / "pyproject.toml"), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_every_import_keeps_the_contracts() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("planning/plan.py", "import toolkit.writing.apply", "Imports point down"),
        ("text/visible.py", "import toolkit.board", "Imports point down"),
        ("strange.py", "", "Imports point down"),
        ("planning/places.py", "import toolkit.planning.identity", "No circle at any depth"),
        ("reconcile.py", "import toolkit.testing", "Only the command line knows the demo"),
        ("planning/plan.py", "import nio", "nio and aiohttp are known to homeserver alone"),
        ("planning/plan.py", "import tenacity", "tenacity is known to homeserver and database"),
        ("sources/sides.py", "import aiosqlite", "aiosqlite and psycopg are known to database"),
        ("sources/sides.py", "import psycopg", "aiosqlite and psycopg are known to database"),
        ("session/session.py", "import pandas", "pandas is known to frames alone"),
        ("session/session.py", "import anywidget", "anywidget is known to board alone"),
        ("board/items.py", "import matplotlib", "matplotlib is known to plots alone"),
        ("text/advice.py", "import rich", "click and rich are known to cli alone"),
        ("frames/fleet.py", "import pyarrow", "Dask and Arrow are known to fleet alone"),
        ("cli/fleet.py", "import distributed", "Dask and Arrow are known to fleet alone"),
    ],
)
def test_a_contract_can_be_broken(module: str, line: str, contract: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "toolkit", tmp_path / "toolkit", ignore=shutil.ignore_patterns("__*__"))
    file = tmp_path / "toolkit" / module
    before = file.read_text(encoding="utf-8") if file.exists() else ""
    file.write_text(f"{before}\n{line}\n", encoding="utf-8")
    done = lint(tmp_path)
    assert done.returncode == 1, done.stdout
    assert f"{contract}" in done.stdout.partition("Broken contracts")[2]


@pytest.mark.parametrize(
    ("statement", "without"),
    [
        ("import toolkit", {"nio", "aiohttp", "aiosqlite", "msgspec"}),
        (
            "from toolkit import BotRooms, reconcile_single_room, SQLiteStore",
            {
                "pandas",
                "ipywidgets",
                "anywidget",
                "matplotlib",
                "pyarrow",
                "distributed",
                "click",
                "rich",
            },
        ),
        (
            "from toolkit import SQLiteStore; from toolkit.database.opening import store_at; store_at('x')",
            {"psycopg", "tenacity"},
        ),
    ],
)
def test_a_bot_pays_for_what_it_calls(statement: str, without: set[str]) -> None:
    code = f"{statement}\nimport sys\nprint(*{without!r} & sys.modules.keys())"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []


@pytest.mark.parametrize(
    "statement",
    [
        "from toolkit import PostgresStore",
        "from toolkit.database.opening import store_at; store_at('postgresql://db')",
    ],
)
def test_without_the_servers_package_a_store_says_what_to_install(statement: str) -> None:
    code = f"import sys\nsys.modules['psycopg'] = None\n{statement}"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "pip install 'matrix-drift[postgres]'" in done.stderr.splitlines()[-1]


def test_without_the_notebooks_packages_a_session_says_what_to_install() -> None:
    code = "import sys\nsys.modules['pandas'] = None\nfrom toolkit import Session"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "pip install 'matrix-drift[notebook]'" in done.stderr.splitlines()[-1]
