"""What is said of a finding, and what to do about it, for whoever reads it where."""

from typing import Any

import pytest

from toolkit.board.offers import say_action
from toolkit.decisions.offers import NO_OFFERS
from toolkit.model import Code, Finding, Status, Unit, UnitKind
from toolkit.records import room_key
from toolkit.text.advice import NOTEBOOK, TERMINAL, action, loose_action, what, why_no_change

CAUSES = {
    "no_space": "the room is linked to no Space of a user that the bot is in",
    "not_created_by_bot": "another account made the room",
    "replacement_not_joined": "the room was replaced by one that the bot isn't in",
}


def no_chat(reason: Any) -> Unit:
    code: Any = Code.NOT_A_CHAT
    if code in list(Code):
        code = Code(code)
    cause = CAUSES.get(reason, "it is none")
    finding = Finding(unit="!a", code=code, key=room_key("!a"), cause=cause, remote=reason)
    return Unit(id="!a", kind=UnitKind.ROOM, status=Status.CONFLICT, findings=(finding,))


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("no_space", "join its Space, if that was left or upgraded; if another account made that"),
        ("not_created_by_bot", "if the bot had another account when the room was made, name it"),
        ("replacement_not_joined", "join the room that replaced it"),
        ("something new", "join the Space, if that was left or upgraded; if another account made"),
        (None, "join the Space, if that was left or upgraded; if another account made the room"),
    ],
)
def test_a_room_that_is_no_chat_has_a_next_step_for_its_reason(reason: Any, words: str) -> None:
    unit = no_chat(reason)
    for speech in (TERMINAL, NOTEBOOK):
        assert action(unit, speech).startswith(words)
        assert action(unit, speech).endswith("; else the row is stale, and yours to delete")
    if reason != "replacement_not_joined":
        assert "--former-account @old:server" in action(unit)
        assert 'Convention(former_accounts=["@old:server"])' in action(unit, NOTEBOOK)
    assert say_action(unit, NO_OFFERS) == action(unit, NOTEBOOK)
    assert why_no_change(unit) == f"{unit.findings[0].cause}. Next: {action(unit)}"


def test_a_row_of_no_unit_has_a_next_step_as_well() -> None:
    [finding] = no_chat("no_space").findings
    assert loose_action(finding) == action(no_chat("no_space"))
    broken = Finding(unit="chat:x", code=Code.UNREADABLE_ROW, key="chat:x", cause="it is no JSON")
    assert loose_action(broken).startswith("look at the row, then mend or delete it by hand")


def test_a_row_that_calls_something_else_a_chat_is_told_as_that() -> None:
    told = [what(no_chat(reason).findings[0]) for reason in ("no_space", None)]
    assert told == [
        "room row calls it a chat, which it isn't (no_space)",
        "room row calls it a chat, which it isn't",
    ]
