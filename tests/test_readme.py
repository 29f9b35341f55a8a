"""README and docs say what is so: commands exist, code runs, public names are all there."""

import ast
import inspect
import logging
import re
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

import toolkit
from toolkit.cli.commands import matrix_drift
from toolkit.cli.explain import DOCS

ROOT = Path(__file__).parent.parent
_PARSED = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
README = (ROOT / "README.md").read_text(encoding="utf-8")
ALL = "".join([README, *(page.read_text(encoding="utf-8") for page in sorted(DOCS.glob("*.md")))])


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def described() -> set[str]:
    code = [*blocks("console"), *re.findall(r"`([^`\n]+)`", README)]
    return {name for text in code for name in re.findall(r"matrix-drift ([a-z]+)", text)}


def test_every_command_is_described_and_every_described_command_exists() -> None:
    assert isinstance(matrix_drift, click.Group)
    assert set(matrix_drift.commands) <= described()
    assert described() <= set(matrix_drift.commands)


def test_what_readme_passes_for_another_table_and_other_names_is_taken() -> None:
    calls = [
        call
        for text in re.findall(r"`((?:SQLiteStore|BotRooms)\([^`]+\))`", README)
        for call in ast.walk(ast.parse(text.replace("…", "client, store")))
        if isinstance(call, ast.Call)
    ]
    assert {ast.unparse(call.func) for call in calls} == {"SQLiteStore", "BotRooms", "Convention"}
    for call in calls:
        taken = inspect.signature(getattr(toolkit, ast.unparse(call.func)))
        taken.bind(*call.args, **{word.arg or "": word.value for word in call.keywords})


@pytest.mark.parametrize("code", blocks("python", ALL))
def test_the_code_in_readme_and_docs_is_python_and_imports_what_exists(code: str) -> None:
    tree = compile(code, "README.md", "exec", _PARSED)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "toolkit":
            for name in node.names:  # a value, or a module that nobody may have loaded yet
                assert hasattr(toolkit, name.name) or find_spec(f"toolkit.{name.name}")


def test_the_log_lines_of_readme_and_docs_name_the_room_or_row_and_the_cause(
    caplog: pytest.LogCaptureFixture,
) -> None:
    room = {"code": "not_a_chat", "room_id": "!a", "key": "matrix_room:!a", "detail": "no Space"}
    row = {"code": "unreadable_row", "key": "chat:@a:hs:C1", "detail": "it is not JSON"}
    loops = [
        ast.unparse(loop)
        for code in blocks("python", ALL)
        for loop in ast.walk(compile(code, "README.md", "exec", _PARSED))
        if isinstance(loop, ast.For) and "conflicts" in ast.unparse(loop.iter)
    ]
    assert len(loops) == 2  # for code of one's own, and where the report is explained
    for loop in loops:
        caplog.clear()
        exec(loop, {"report": {"conflicts": [room, row]}, "log": logging.getLogger()})  # noqa: S102  # our own
        assert [record.message for record in caplog.records] == [
            "not_a_chat: !a: no Space",
            "unreadable_row: chat:@a:hs:C1: it is not JSON",
        ]


def test_the_readme_says_how_to_go_back_to_a_backup() -> None:
    [told] = [" ".join(part.split()) for part in README.split("\n\n") if "-wal" in part]
    steps = [
        "stop the bot",
        "run `matrix-drift restore run`",
        "start the bot",
    ]
    places = [told.lower().index(step) for step in steps]
    assert places == sorted(places)


def test_the_public_names_are_sorted_complete_and_importable() -> None:
    assert toolkit.__all__ == sorted(toolkit.__all__)
    assert set(toolkit.__all__) == set(toolkit._HOME)
    for name in toolkit.__all__:
        assert getattr(toolkit, name).__doc__


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = toolkit.nothing


def test_the_two_commands_of_the_readme_install_and_run_the_extras_that_exist() -> None:
    commands = [line for block in blocks("console") for line in block.splitlines() if "pip" in line]
    assert [re.findall(r"\.\[(\w+)\]", line) for line in commands] == [["demo"], ["dev"]]
    assert commands[0].endswith(".venv/bin/matrix-drift demo")
    assert commands[1].endswith(".venv/bin/pytest")
