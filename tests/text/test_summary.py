"""A plan in numbers and words: every unit is counted once, and the next thing to do is one that can be done."""

import re

import msgspec
import pytest

from tests.bench import ALICE, BOT, small_world
from tests.cli.test_render import with_others
from tests.frames.test_frames import broken, empty, look, right
from tests.scenario import Scenario, load_scenarios
from toolkit.model import Code, Plan, Reason, Status
from toolkit.testing import World
from toolkit.text.advice import NOTEBOOK
from toolkit.text.summary import WORDS, summarise, urgent_units


def plan() -> Plan:
    return broken()[2]


def test_units_are_counted_by_status() -> None:
    summary = summarise(plan())
    assert (summary.account, summary.joined) == (BOT, 5)
    assert list(summary.rooms) == list(summary.users)
    assert [*summary.rooms.values()] == [0, 1, 1, 1]
    assert [*summary.users.values()] == [1, 1, 0, 0]
    assert (summary.ready, summary.to_decide, summary.units) == (3, 1, 4)
    assert summary.skipped == {Reason.SPACE: 2}
    assert (summary.orphans, summary.loose, summary.notes) == (1, 1, 0)


def test_causes_are_counted_and_said_in_words() -> None:
    causes = summarise(plan()).causes
    assert [(cause.code, cause.count) for cause in causes] == [
        (Code.UNREADABLE_ROW, 2),
        (Code.MISSING_ROW, 2),
        (Code.WRONG_FIELD, 1),
    ]
    assert causes[1].words == "a row is missing"


def test_every_code_has_words_of_its_own() -> None:
    assert set(WORDS) == set(Code)
    assert len(set(WORDS.values())) == len(WORDS)


@pytest.mark.parametrize("scenario", load_scenarios(), ids=lambda s: s.rule)
def test_every_room_is_counted_once(scenario: Scenario) -> None:
    found = scenario.plan()
    summary = summarise(found)
    assert sum(summary.rooms.values()) + sum(summary.skipped.values()) == len(found.joined)
    counts = (summary.rooms, summary.users)
    wrong = sum(n for count in counts for s, n in count.items() if s is not Status.IN_SYNC)
    assert summary.units == wrong == len(found.units)
    assert re.fullmatch(r"[^\n]+\.", summary.next)


def test_certain_units_come_first() -> None:
    assert "`session.approve(session.pending())`" in summarise(plan()).next
    assert summarise(plan()).next.startswith("3 units need no decision")


def test_what_is_approved_is_to_be_written() -> None:
    summary = summarise(plan(), {"!a1": "approved", "!a2": "rejected"})
    assert summary.next.startswith("1 unit approved: `await session.apply()`")
    assert summary.decided == {"approved": 1, "rejected": 1, "deferred": 0, "ignored": 0}


def test_a_snapshot_is_never_written_to() -> None:
    summary = summarise(plan(), {"!a1": "approved"}, offline=True)
    assert "matrix-drift apply --decisions" in summary.next
    assert "session.apply" not in summary.next


def test_rows_of_other_platforms_are_counted() -> None:
    assert summarise(plan()).others == 0
    assert summarise(with_others(plan(), 4)).others == 4


def test_then_comes_what_only_a_person_can_decide() -> None:
    votes = dict.fromkeys([ALICE, "!a1", "!a2"], "rejected")
    assert summarise(plan(), votes).next == (
        "1 unit needs a decision, one at a time; first !b1: look at the row, then replace it with "
        f"{NOTEBOOK.overwrite}."
    )


def test_everything_decided_leaves_nothing_to_do() -> None:
    votes = dict.fromkeys([ALICE, "!a1", "!a2", "!b1"], "deferred")
    assert summarise(plan(), votes).next.startswith("Nothing: everything is decided.")


def test_no_drift_leaves_nothing_to_do() -> None:
    in_sync = look(small_world(), right())[2]
    assert summarise(in_sync).next == "Nothing: every chat has its rows, and they are right."
    assert "no chats" in summarise(empty()[2]).next
    loose = msgspec.structs.replace(in_sync, loose=plan().loose)
    assert summarise(loose).next.startswith("1 row can't be read")


def test_conflicts_are_the_most_urgent_then_what_is_missing() -> None:
    assert [unit.id for unit in urgent_units(plan().units)] == ["!b1", ALICE, "!a1", "!a2"]


def test_a_vote_on_what_is_no_longer_planned_counts_for_nothing() -> None:
    assert summarise(plan(), {"!gone": "approved"}).decided["approved"] == 0
    assert summarise(look(World(BOT), {})[2], {"!x": "approved"}).next.startswith("Nothing")
