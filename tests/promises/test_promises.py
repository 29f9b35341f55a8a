"""SECURITY.md names a test for each promise: they all exist, and no promise stands alone."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`(tests/[\w/]+\.py)::([\w.]+)`", TEXT)


def names_in(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{each.name}" for each in node.body if hasattr(each, "name")}
    return {name for name in found if name.rpartition(".")[2].startswith("test_")}


@pytest.mark.parametrize(("file", "name"), NAMED, ids=[name for _, name in NAMED])
def test_a_promise_has_the_test_that_it_names(file: str, name: str) -> None:
    assert name in names_in(ROOT / file)


def test_every_promise_names_a_test() -> None:
    promised = TEXT.partition("## What is promised")[2].partition("## What is not promised")[0]
    promises = re.split(r"\n- ", promised)[1:]
    assert len(promises) > 20
    assert [
        promise for promise in promises if "::test_" not in promise and "::Test" not in promise
    ] == []


def test_every_file_about_trust_is_named() -> None:
    files = {f"tests/promises/{path.name}" for path in Path(__file__).parent.glob("test_*.py")}
    assert files - {file for file, _ in NAMED} == {"tests/promises/test_promises.py"}


def test_nobody_is_named_to_write_to() -> None:
    """Reports go to the repository's host; an address would be somebody's."""
    assert not re.search(r"[\w.+-]+@[\w-]+\.\w+", TEXT)
