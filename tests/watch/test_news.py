"""What is new between two looks, and what is wanted between two more."""

from __future__ import annotations

import asyncio
import json

from tests.bench import A1, Bench, small_rows
from toolkit.database.look import Look
from toolkit.decisions.decision import Ignored
from toolkit.decisions.ledger import Vote
from toolkit.decisions.record import NOTHING_DECIDED, Record
from toolkit.records import Raw
from toolkit.text.view import EVERYTHING, View
from toolkit.watch.news import News, matters_of
from toolkit.watch.troubles import OVER, Troubles
from toolkit.watch.wanted import Cause, Pending, Wanted


def test_units_notes_and_orphans_are_told_and_what_is_ignored_is_not(bench: Bench) -> None:
    rows: dict[str, Raw] = {"matrix_room:!gone": "{}", A1: "{"}
    plan = bench.plan(Look(rows))
    whole = matters_of(plan, EVERYTHING, NOTHING_DECIDED)
    assert {unit.id for unit in plan.units} <= whole.keys()
    assert {*plan.orphans, *(note.id for note in plan.notes)} <= whole.keys() and plan.orphans
    ignored = Record(ignored={"!a1": Ignored()})
    assert News.between(whole, matters_of(plan, EVERYTHING, ignored)) == News(settled=("!a1",))
    decided = Record({"!a1": Vote.DEFERRED})
    assert News.between(whole, matters_of(plan, EVERYTHING, decided)) == News(changed=("!a1",))
    narrowed = matters_of(plan, View(rooms=["!a2"]), NOTHING_DECIDED)
    assert "!a2" in narrowed and "!a1" not in narrowed


def test_what_is_in_sync_is_no_news(bench: Bench) -> None:
    rows: dict[str, Raw] = {key: json.dumps(row) for key, row in small_rows().items()}
    matters = matters_of(bench.plan(Look(rows)), EVERYTHING, NOTHING_DECIDED)
    news = News.between(matters, matters)
    assert matters == {} and not news and str(news) == ""


async def test_what_is_wanted_adds_up_until_it_is_taken() -> None:
    pending = Pending()
    assert not await pending.wait(0.01)
    pending.add(Wanted())
    assert not await pending.wait(0.01)
    pending.add(Wanted(frozenset({Cause.ROOMS}), frozenset({"!a"})))
    pending.add(Wanted(frozenset({Cause.ROOMS}), frozenset({"!b"})))
    pending.add(Wanted(frozenset({Cause.ROWS}), whole=True))
    assert await pending.wait(60)
    both = frozenset({Cause.ROOMS, Cause.ROWS})
    assert pending.take() == Wanted(both, frozenset({"!a", "!b"}), whole=True)
    assert not pending.take() and not await pending.wait(0.01)


async def test_several_troubles_are_one_line_and_their_end_is_another() -> None:
    told = list[str]()
    troubles = Troubles(told.append)
    waiting = [asyncio.create_task(troubles.sit_out(side, side)) for side in ("rows", "rooms")]
    await asyncio.sleep(0)
    troubles.end("look")  # which had none
    troubles.hurry()
    await asyncio.gather(*waiting)
    troubles.end("rows")
    assert told == ["rows"]
    troubles.end("rooms")
    assert told == ["rows", OVER]
