"""Imports point down only, and a bot loads nothing that only a notebook needs (design.md, "Layers")."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "toolkit"

LAYERS = (
    {"cli", "board"},
    {"session", "deciding", "road", "shadow", "shown"},
    {"reconcile", "undo", "frames", "render", "html", "plots", "sides"},
    # What is said and agreed to about a plan: pure.
    {
        "report",
        "decisions",
        "single",
        "advice",
        "agreement",
        "ledger",
        "selection",
        "summary",
        "surprise",
    },
    {"apply", "taken", "plain", "managers", "guard", "job", "journal", "anonymise", "pseudonyms"},
    {
        "lock",
        "matrix",
        "patience",
        "readonly",
        "remote",
        "memory",
        "store",
        "transaction",
        "database",
        "admission",
        "foreign_table",
        "table",
        "backup",
        "chat",
        "snapshot",
    },
    {
        "plan",
        "leftovers",
        "drift",
        "groups",
        "unread",
        "chats",
        "owners",
        "identity",
        "nesting",
        "others",
        "no_chats",
        "naming",
        "state",
        "free",
    },
    {"model"},
    {"records", "convention"},
    {"settings"},
    {"refused"},
    {"errors", "visible", "progress", "files"},
)
"""From the top down. A module imports from its own layer and from those below it, never in a circle."""

HOMES = {
    "nio": {"matrix"},
    "aiohttp": {"matrix"},
    "tenacity": {"patience"},
    "aiosqlite": {"database"},
    "pandas": {"frames"},
    "ipywidgets": {"board"},
    "anywidget": {"board"},
    "matplotlib": {"plots"},
}
"""A third-party library, and the only module that may import it."""


def modules() -> dict[str, list[Path]]:
    """The package's own modules and their files; `toolkit.testing` stands beside them."""
    found: dict[str, list[Path]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if name not in ("__init__", "testing"):
            found.setdefault(name, []).append(path)
    return found


def imported(name: str) -> set[str]:
    """Full names of what a module imports."""
    return {found for path in modules()[name] for found in imports(path)}


def users_of(package: str) -> set[str]:
    """Modules that import this package or something in it."""
    return {
        name
        for name in modules()
        if any(f"{found}.".startswith(f"{package}.") for found in imported(name))
    }


def imports(path: Path) -> Iterator[str]:
    """What a file imports, wherever in it, except for type checkers alone."""
    for node in walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def walk(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from walk(child)


def own_imports(name: str) -> set[str]:
    found = {full.split(".")[1] for full in imported(name) if full.startswith("toolkit.")}
    return found & modules().keys()


def layer(name: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if name in names)


def test_every_module_has_one_layer() -> None:
    listed = [name for names in LAYERS for name in names]
    assert len(listed) == len(set(listed))
    assert modules().keys() - set(listed) == set()


@pytest.mark.parametrize("name", sorted(modules()))
def test_imports_point_down_only(name: str) -> None:
    up = {other for other in own_imports(name) if layer(other) < layer(name)}
    assert up == set()


def test_no_imports_go_in_a_circle() -> None:
    graph = {name: own_imports(name) - {name} for name in modules()}
    assert list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("library", sorted(HOMES))
def test_a_library_has_one_home(library: str) -> None:
    assert users_of(library) <= HOMES[library]


def test_only_the_command_line_knows_the_test_doubles() -> None:
    assert users_of("toolkit.testing") <= {"cli"}


@pytest.mark.parametrize(
    ("statement", "without"),
    [
        ("import toolkit", {"nio", "aiohttp", "aiosqlite", "msgspec"}),
        (
            "from toolkit import reconcile_matrix_state, reconcile_single_room, SQLiteStore",
            {"pandas", "ipywidgets", "anywidget", "matplotlib", "click", "rich"},
        ),
    ],
)
def test_a_bot_pays_for_what_it_calls(statement: str, without: set[str]) -> None:
    code = f"{statement}\nimport sys\nprint(*{without!r} & sys.modules.keys())"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []


def test_without_the_notebooks_packages_a_session_says_what_to_install() -> None:
    code = "import sys\nsys.modules['pandas'] = None\nfrom toolkit import Session"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "pip install 'matrix-drift[notebook]'" in done.stderr.splitlines()[-1]
