"""Ids and keys that a space, or something that can't be seen, makes others: no sentence hides it."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest

from tests.scenario import Scenario, load_scenarios
from toolkit.convention import Convention
from toolkit.model import Choices, Plan, RemoteState, Unit
from toolkit.planning.one_room import narrow_plan
from toolkit.planning.plan import plan_repairs
from toolkit.quotes import quote_odd
from toolkit.records import LocalState, Raw, chat_key, load_records, parse_key, room_key, user_key
from toolkit.text.advice import (
    NOTEBOOK,
    TERMINAL,
    action,
    loose_action,
    unit_name,
    what,
    why_no_change,
)
from toolkit.text.summary import summarise
from toolkit.writing.report import build_report

SCENARIOS = load_scenarios()
ENDS = {"a space at the end": " ", "nothing to be seen": "\u200b", "a tab": "\t"}


def odd(value: Any, end: str) -> Any:
    """A value in which every user, room and Space has another id, which ends with this."""
    if isinstance(value, str):
        return value + end if re.match(r"[@!][^ ]*$", value) else value
    if isinstance(value, Mapping):
        return {odd(key, end): odd(each, end) for key, each in value.items()}
    return [odd(each, end) for each in value] if isinstance(value, list | tuple) else value


def odd_key(key: str, end: str) -> str:
    name = parse_key(key)
    if name.room_id:
        return room_key(odd(name.room_id, end))
    if name.chat_id:
        before, mark, room = name.chat_id.partition("!")
        return chat_key(odd(name.user, end), before + odd(mark + room, end) if mark else before)
    return user_key(odd(name.user, end)) if name.user else key


def odd_row(raw: Raw, end: str) -> Raw:
    try:
        return json.dumps(odd(json.loads(raw), end))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return raw


def plan_of(scenario: Scenario, end: str) -> tuple[Plan, LocalState]:
    remote = msgspec.convert(odd(msgspec.to_builtins(scenario.remote()), end), RemoteState)
    rows = {odd_key(key, end): odd_row(raw, end) for key, raw in scenario.rows().items()}
    convention = Convention(**odd(scenario.data.get("convention", {}), end))
    picked = odd(scenario.data.get("choices", {}), end)
    choices = {unit: Choices(**choice) for unit, choice in picked.items()}
    local = load_records(rows.items())
    lower = bool(scenario.data.get("lower_counters"))
    return plan_repairs(remote, local, convention, choices, lower_counters=lower), local


def sentences(plan: Plan, local: LocalState) -> Iterator[str]:
    """All that is said about a plan in words."""
    for unit in plan.units:
        yield from _of_unit(unit)
        user = unit.owner or "@nobody:hs"
        for part in narrow_plan(plan, local, unit.id, f"@not{user[1:]}").units:
            yield from (finding.cause for finding in part.findings)
    for finding in (*plan.notes, *plan.loose):
        yield finding.cause
        yield what(finding)
    for finding in plan.loose:
        yield loose_action(finding)
    yield summarise(plan).next
    report = build_report(plan, {})
    for entry in (*report["conflicts"], *report["notes"]):
        yield entry["detail"]


def _of_unit(unit: Unit) -> Iterator[str]:
    for finding in unit.findings:
        yield finding.cause
        yield what(finding)
    for speech in (TERMINAL, NOTEBOOK):
        yield action(unit, speech)
        yield why_no_change(unit, speech)
    yield unit_name(unit)


def places(scenario: Scenario, end: str) -> Iterator[tuple[str, str]]:
    """What is said, split where an id of the scenario stands in it."""
    names = "|".join(re.escape(name + end) for name in sorted(ids_of(scenario), reverse=True))
    for text in sentences(*plan_of(scenario, end)):
        for found in re.finditer(names, text):
            yield text[: found.start()], text[found.end() :]


def ids_of(scenario: Scenario) -> set[str]:
    """Users, rooms and Spaces."""
    texts = [*scenario.rows(), *map(str, scenario.rows().values()), repr(scenario.remote())]
    return {name for text in texts for name in re.findall(r"[@!][\w.:]*\w", text)}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_no_sentence_about_a_plan_shows_an_odd_id_bare(end: str) -> None:
    told = 0
    for scenario in SCENARIOS:
        for before, after in places(scenario, end):
            quotes = len(re.findall(r'(?<!\\)"', before))
            assert quotes % 2, (scenario.rule, before, after)
            told += 1
    assert told > 200


def test_ordinary_ids_stand_in_sentences_as_they_are() -> None:
    """Save for values of fields, which stand there as JSON."""
    for scenario in SCENARIOS:
        for before, after in places(scenario, ""):
            json_value = before.endswith((' is "', ' be "', ': "')) or "{" in before
            assert json_value or not before.endswith('"') or not after.startswith('"')


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("@alice:hs", "@alice:hs"),
        ("chat:@alice:hs:C1", "chat:@alice:hs:C1"),
        ("@ж:hs", "@ж:hs"),
        ("", '""'),
        (" @a", '" @a"'),
        ("@a or @b", '"@a or @b"'),
        ('@a", "@b', '"@a\\", \\"@b"'),
        ("@a\\", '"@a\\\\"'),
        ("@a\u00a0", '"@a\u00a0"'),
        ("@a\u202e", '"@a\u202e"'),
        ("@a\ud83d", '"@a\ud83d"'),
    ],
)
def test_what_is_odd_is_quoted(text: str, shown: str) -> None:
    assert quote_odd(text) == shown


@pytest.mark.parametrize("char", [chr(code) for code in range(128)])
def test_an_ascii_character_is_odd_if_it_cannot_be_seen_or_ends_what_is_quoted(char: str) -> None:
    is_odd = not char.isprintable() or char in ' "\\'
    assert quote_odd(f"@a{char}b").startswith('"') is is_odd
