"""Who may import whom: the contracts in `pyproject.toml` hold, and each of them can be broken."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOWN = "Imports point down"
CIRCLE = "No circle at any depth"
DEMO = "Only the command line knows the demo"
KIND = "A mapping is proposed without asking"
LINTER = Path(sys.executable).with_name("lint-imports")


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(LINTER), "--config", str(ROOT / "pyproject.toml"), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_every_import_keeps_the_contracts() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


BREAKS = [
    # module, a line more in it, the contract that is broken, and what is said of it
    ("planning/plan.py", "import toolkit.writing.apply", DOWN, "planning.plan -> toolkit.writing"),
    ("text/visible.py", "import toolkit.board", DOWN, "text.visible -> toolkit.board"),
    ("strange.py", "", DOWN, "- toolkit.strange"),
    ("planning/places.py", "import toolkit.planning.identity", CIRCLE, ".places -> .identity"),
    ("reconcile.py", "import toolkit.testing", DEMO, "reconcile -> toolkit.testing"),
    ("planning/plan.py", "import nio", "nio and aiohttp", "plan -> nio"),
    ("sources/sides.py", "import aiosqlite", "aiosqlite", "sides -> aiosqlite"),
    ("session/session.py", "import pandas", "pandas", "session -> pandas"),
    ("session/session.py", "import anywidget", "anywidget", "session -> anywidget"),
    ("board/items.py", "import matplotlib", "matplotlib", "items -> matplotlib"),
    ("text/advice.py", "import rich", "click and rich", "advice -> rich"),
    ("planning/plan.py", "import tenacity", "tenacity", "plan -> tenacity"),
    ("sources/sides.py", "import psycopg", "aiosqlite", "sides -> psycopg"),
    ("fitting/chats.py", "import toolkit.database.postgres.dsn", KIND, "chats -> toolkit.database"),
    ("frames/fleet.py", "import pyarrow", "Dask and Arrow", "fleet -> pyarrow"),
    ("cli/fleet.py", "import distributed", "Dask and Arrow", "fleet -> distributed"),
]


def test_each_contract_can_be_broken(tmp_path: Path) -> None:
    """All at once: what is said of one import stands there whatever else is wrong."""
    shutil.copytree(ROOT / "toolkit", tmp_path / "toolkit", ignore=shutil.ignore_patterns("__*__"))
    for module, line, *_ in BREAKS:
        with (tmp_path / "toolkit" / module).open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n")
    done = lint(tmp_path)
    assert done.returncode == 1, done.stdout
    found = done.stdout.partition("Broken contracts")[2]
    sections = re.split(r"\n(?=.*\n-{9,}\n)", found)
    for _, line, contract, said in BREAKS:
        [told] = [section for section in sections if section.startswith(contract)]
        assert said in told, line


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
            {"psycopg", "tenacity", "toolkit.database.survey"},
        ),
        (
            "import toolkit.cli.fit; from toolkit.database.opening import site_at; site_at('x')",
            {"psycopg"},
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
        "from toolkit.database.opening import site_at; site_at('postgresql://db')",
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
