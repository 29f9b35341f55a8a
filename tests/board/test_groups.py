"""Groups of the review: what stands in one, folded or not, after any decision, and what is agreed to with it."""

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bench import BOT, TOKEN
from tests.board.test_table import Browser
from tests.board.test_windows import CHATS, PLACES, VERBS, act, expected, mixed
from tests.boards import look, various
from toolkit.benchmark.board import open_session
from toolkit.board import ReviewModel, find_model
from toolkit.board.folding import Heading
from toolkit.board.in_sync import Quiet
from toolkit.board.listing import Listing
from toolkit.board.table import FEW, ReviewTable
from toolkit.board.views import Wanted
from toolkit.board.windows import Line, Order, Query
from toolkit.testing import FakeHomeserver
from toolkit.text.groups import find_groups

TWINS = " conflict: several rooms claim one chat id"
RENAMED = " mismatched: the room was renamed"


QUIET = {
    "in sync": " in sync: the rows are right",
    "skipped": " skipped: no chats",
    "orphaned": " orphaned: no joined room belongs to the row",
}


def naive(listing: Listing, model: ReviewModel, wanted: Wanted) -> list[tuple[str, str]]:
    """Group and unit of each line, as the list would be made with all lines at hand; a heading has no unit."""
    flat = expected(listing, wanted.query)
    units = model.session.state.plan.units
    groups, places = find_groups(map(listing.origin, units))
    names = {unit.id: groups[at].name for unit, at in zip(units, places, strict=True)}
    found: list[tuple[str, str]] = []
    for name in [*(group.name for group in groups), *QUIET.values()]:
        mine = [
            line.unit
            for line in flat
            if name == (QUIET[line.status] if isinstance(line, Quiet) else names[line.unit])
        ]
        found += [(name, "")] if mine else []
        found += [(name, unit) for unit in mine if name in wanted.unfolded]
    return found


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_a_folded_window_is_that_part_of_the_list_that_is_seen(data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        model = ReviewModel(mixed(Path(folder)))
        query = Query(
            status=data.draw(st.sampled_from(["", "missing", "conflict", "in sync"])),
            quiet=data.draw(st.booleans()),
            sort=data.draw(st.sampled_from(["", "chat", "vote"])),
            down=data.draw(st.booleans()),
            grouped=True,
        )
        names = [
            line.unit
            for line in model.lines.window(Wanted(query, 0, 100)).lines
            if isinstance(line, Heading)
        ]
        shown = frozenset(data.draw(st.lists(st.sampled_from([*names, " no such group"]))))
        for verb, place in data.draw(st.lists(st.tuples(VERBS, PLACES), max_size=5)):
            model.lines.window(Wanted(query, 0, 3, (), 0, shown))
            act(model, verb, place)
            fresh = Listing(model.session, model._drafts, model._apply)
            start, count = data.draw(st.tuples(PLACES, PLACES))
            keep = (*names[:1], *(item.unit for item in model.items()[:2]))
            wanted = Wanted(query, start, count, keep, 0, shown)
            found, lines = model.lines.window(wanted), naive(fresh, model, wanted)
            assert replace(fresh.window(wanted), edition=found.edition) == found
            told = [line.unit for line in found.lines]
            assert told == [unit or name for name, unit in lines[start : start + count]]
            assert found.total == len(lines)
            seen = {unit or name: at for at, (name, unit) in enumerate(lines)}
            assert [kept.at for kept in found.kept] == [
                seen.get(k.line.unit, -1) for k in found.kept
            ]


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_the_next_line_is_the_first_below_that_nobody_has_decided_about(
    data: st.DataObject,
) -> None:
    with TemporaryDirectory() as folder:
        model = ReviewModel(mixed(Path(folder)))
        query = Query(
            vote=data.draw(st.sampled_from(["", "pending"])),
            grouped=data.draw(st.booleans()),
            sort=data.draw(st.sampled_from(["", "owner"])),
        )
        wanted = Wanted(query, 0, 100)
        for verb, place in data.draw(st.lists(st.tuples(VERBS, PLACES), max_size=9)):
            act(model, verb, place)
            flat = expected(model.lines, query)
            if not query.folds and flat:
                here = data.draw(st.integers(0, len(flat) - 1))
                key = model.lines.key(wanted, flat[here].unit)
                open_ = [i for i, line in enumerate(flat) if getattr(line, "vote", "") == "pending"]
                below = [i for i in open_ if i > here] or open_
                assert model.lines.next_open(wanted, key) == (below[0] if below else -1)
            else:
                at, lines = model.lines.next_open(wanted, -1), model.lines.window(wanted).lines
                undecided = [i for i, heading in enumerate(lines) if _is_undecided(heading)]
                assert at in undecided or (at, undecided) == (-1, [])


def _is_undecided(line: Line) -> bool:
    return isinstance(line, Heading) and line.undecided > 0


def test_a_group_that_lost_its_last_line_is_gone(tmp_path: Path) -> None:
    model = ReviewModel(mixed(tmp_path))
    wanted = Wanted(Query(grouped=True), 0, 100)
    order = Order(model.lines, wanted.query)
    groups = {section.group for section in order.sections(frozenset())}
    first = next(at for at in range(CHATS) if model.lines.group(at) in groups)
    order._drop(first)
    assert sum(section.size for section in order.sections(frozenset())) == len(order)
    assert order.key(first) == -1 and order.find(first) == -1


@pytest.fixture
async def browser(tmp_path: Path) -> Any:
    """Seventy units of four kinds."""
    bench = various(tmp_path / "bot.db")
    async with FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server:
        yield Browser(ReviewTable(find_model(await look(bench, server))))


class TestAsked:
    async def test_many_units_are_shown_as_groups_and_unfold(self, browser: Browser) -> None:
        first = browser.get("ready", "window")
        assert first["grouped"] and first["total"] == 5 and browser.view.model.counts().units > FEW
        told = [(line["status"], line["label"], line["group"]["size"]) for line in first["lines"]]
        assert told == [
            ("conflict", "several rooms claim one chat id", 10),
            ("conflict", "nothing says which chat it is", 8),
            ("mismatched", "the room was renamed", 22),
            ("missing", "room row and chat row are missing", 18),
            ("missing", "room row is missing", 12),
        ]
        lines = browser.lines(grouped=True, unfolded=[RENAMED])
        [mark] = lines["!r0x5"]["marks"]
        assert mark == ["", "display_name", '"Чат 5"', '"Отпуск 5"'] and len(lines) == 27
        flat = browser.lines(grouped=True, text="user3:")
        assert not any(line.get("group") for line in flat.values()) and len(flat) == 3

    async def test_one_yes_is_for_a_group_as_it_was_shown(self, browser: Browser) -> None:
        asked = browser.get("count", "question", group=RENAMED)
        assert (asked["units"], asked["group"]) == ("22 units", RENAMED)
        shown = {unit["label"]: unit["marks"] for unit in asked["shown"]}
        assert shown["C5 of @user0:hs"] == [["", "display_name", '"Чат 5"', '"Отпуск 5"']]
        browser.decide("!r0x5", "reject")
        assert "changed since it was counted" in browser.refused(
            "approve_all", plan=asked["plan"], group=RENAMED
        )
        asked = browser.get("count", "question", group=RENAMED)
        browser.ask("approve_all", plan=asked["plan"], group=RENAMED)
        votes = [
            (line["unit"], line["vote"]) for line in browser.lines(status="mismatched").values()
        ]
        assert {vote for unit, vote in votes if unit != "!r0x5"} == {"approved"}
        heading = browser.lines(grouped=True)[RENAMED]["group"]
        assert (heading["ready"], heading["undecided"], heading["size"]) == (0, 0, 22)

    async def test_what_needs_a_person_is_never_approved_with_a_group(
        self, browser: Browser
    ) -> None:
        asked = browser.get("count", "question", group=TWINS)
        assert asked["plan"] == "" and asked["shown"] == []
        assert browser.lines(grouped=True)[TWINS]["group"]["ready"] == 0
        assert "nothing here" in browser.view.model.approve_all(group=TWINS)

    async def test_a_decision_says_where_the_next_line_is(self, browser: Browser) -> None:
        lines = list(browser.lines(status="mismatched"))
        change = browser.lines(status="mismatched")[lines[0]]["change"]
        ask = {"unit": lines[0], "change": change}
        answer = browser.get("decide", "answer", vote="defer", **ask)
        assert answer["next"] == {"at": 1, "number": 0}
        back = browser.get("decide", "answer", vote="withdraw", **ask)
        assert "next" not in back
        assert browser.get("next", "answer", unit=lines[5])["next"]["at"] == 6

    async def test_the_headline_counts_all(self, browser: Browser) -> None:
        browser.decide("!r0x5", "reject")
        words = browser.state()["headline"]["words"]
        assert words == "158 rooms and user rows: 88 right, 1 decided, 69 to decide"

    async def test_many_kinds_are_no_more_than_a_view_may_name(self, browser: Browser) -> None:
        many = [f" {number}" for number in range(101)]
        assert "asked for what there isn't" in browser.refused("window", unfolded=many)


def test_the_first_lines_of_fifty_thousand_are_a_few_groups(tmp_path: Path) -> None:
    browser = Browser(ReviewTable(ReviewModel(open_session(2_000, tmp_path))))
    first = browser.get("ready", "window")
    assert [line["group"]["size"] for line in first["lines"]] == [2_000]
    assert len(json.dumps(first)) < 2_000
