"""`matrix-drift explain`: a word or number in, its passage out, and near misses for what isn't there."""

import pytest

from toolkit.cli import run
from toolkit.cli.explain import load_passages

WORDS = [word for group in load_passages().values() for word in group]


@pytest.mark.parametrize("word", WORDS)
def test_every_word_prints_its_passage(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", word]) == 0
    out, err = capsys.readouterr()
    head, _, body = out.partition("\n")
    assert head.split()[0] == word
    assert body.strip()
    assert err == ""
    assert "](" not in out
    assert "**" not in out
    assert "\n#" not in out


@pytest.mark.parametrize(
    ("said", "word"),
    [
        (["owner", "left"], "owner_left"),
        (["Owner left"], "owner_left"),
        (["owner-left"], "owner_left"),
        (["in sync"], "in_sync"),
        (["rules", "2.4"], "2.4"),
        (["2.10"], "2.10"),
    ],
)
def test_a_word_may_be_said_as_the_terminal_shows_it(
    said: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["explain", *said]) == 0
    assert capsys.readouterr().out.split()[0] == word


def test_a_rule_is_printed_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "2.4"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("2.4 Spaces in Spaces\n\n")
    assert "- One that a readable user row names" in out
    assert out.rstrip().splitlines()[-1].startswith("Shown by: 11-spaces-in-spaces, 02-kinds.")
    assert "2.5 What is a chat" not in out


def test_the_signatures_of_a_rule_keep_their_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    first = lines.index("async def reconcile_matrix_state(")
    assert lines[first + 1 : first + 4] == ["    client,", "    store,", "    chat_mgr,"]
    assert "```" not in "\n".join(lines)


@pytest.mark.parametrize(
    ("said", "near"),
    [
        ("ownr_left", "owner_left"),
        ("owner", "owner_left"),
        ("missing rows", "missing_row"),
        ("2.44", "2.4"),
    ],
)
def test_an_unknown_word_is_one_sentence_with_what_comes_near(
    said: str, near: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["explain", said]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Error: Nothing is explained under ")
    assert err.count("\n") == 1
    assert near in err.partition("; near it are ")[2]


@pytest.mark.parametrize("said", ["xyz", "…", "\x1b[31m", "77"])
def test_a_word_that_is_near_nothing_leads_to_the_list(
    said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["explain", said]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("; `matrix-drift explain` lists what is.\n")
    assert "\x1b" not in err


def test_without_a_word_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain"]) == 0
    out = capsys.readouterr().out.replace("\n", " ")
    assert all(f" {word}" in out for word in WORDS)
