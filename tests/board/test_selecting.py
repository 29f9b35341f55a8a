"""Several units at once: what lies between two lines, and the rules by which they are decided together."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.bench import BOT, TOKEN
from tests.board.test_groups import RENAMED, TWINS
from tests.board.test_table import Browser
from tests.boards import look, various
from toolkit.board import find_model, from_browser
from toolkit.board.table import ReviewTable
from toolkit.testing import FakeHomeserver


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    bench = various(tmp_path / "bot.db")
    async with FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server:
        yield Browser(ReviewTable(find_model(await look(bench, server))))


def between(browser: Browser, first: str, last: str) -> list[str]:
    return [unit for unit, _ in browser.get("select", "selected", first=first, last=last)["units"]]


def changes(browser: Browser, *units: str) -> dict[str, str]:
    lines = browser.lines()
    return {unit: lines[unit]["change"] for unit in units}


class TestSelecting:
    async def test_a_range_is_what_is_seen_between_two_lines_whichever_comes_first(
        self, browser: Browser
    ) -> None:
        lines = list(browser.lines(sort="owner", down=True))
        assert between(browser, lines[2], lines[40]) == lines[2:41]
        assert between(browser, lines[40], lines[2]) == lines[2:41]
        assert between(browser, lines[5], "!nobody") == [lines[5]]
        assert between(browser, "!nobody", "!none") == []

    async def test_what_is_folded_is_not_selected(self, browser: Browser) -> None:
        seen = browser.lines(grouped=True, unfolded=[TWINS, " missing: room row is missing"])
        units = [unit for unit, line in seen.items() if not line.get("group")]
        assert len(units) == 22 and between(browser, units[0], units[-1]) == units
        assert between(browser, units[0], TWINS) == [units[0]]

    async def test_what_is_in_sync_is_no_unit(self, browser: Browser) -> None:
        lines = browser.lines(quiet=True, sort="status")
        units = {unit for unit, line in lines.items() if not line.get("quiet")}
        first, *_, last = lines
        assert set(between(browser, first, last)) == units

    async def test_so_many_are_enough(
        self, browser: Browser, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(from_browser, "SELECTED", 5)
        lines = list(browser.lines())
        told = browser.get("select", "selected", first=lines[0], last=lines[9])
        assert len(told["units"]) == 5 and told["more"] == 5

    async def test_who_never_asked_for_lines_selects_nothing(self, browser: Browser) -> None:
        assert [told["kind"] for told in browser.ask("select", first="!a", last="!b")] == ["answer"]


class TestDeciding:
    async def test_what_needs_a_person_is_left_when_several_are_approved(
        self, browser: Browser
    ) -> None:
        units = changes(browser, "!r0x5", "!r1x5", "!odd0", "!twin8")
        answer = browser.get("decide_many", "answer", units=units, vote="approve")
        assert answer["words"] == (
            "Approved 2 units: 2 rows to write. Left: 2 units that want a decision of their own."
        )
        votes = {unit: line["vote"] for unit, line in browser.lines(vote="approved").items()}
        assert votes == dict.fromkeys(("!r0x5", "!r1x5"), "approved")

    async def test_what_changed_since_it_was_shown_is_left(self, browser: Browser) -> None:
        units = changes(browser, "!r0x5") | {"!r1x5": "another", "!gone": ""}
        answer = browser.get("decide_many", "answer", units=units, vote="defer")
        assert answer["words"] == "Put off 1 unit. Left: 2 units changed since they were shown."
        assert "Nothing is decided. Left: 1 unit changed" in browser.refused(
            "decide_many", units={"!gone": ""}, vote="reject"
        )

    async def test_reject_ignore_and_take_back(self, browser: Browser) -> None:
        units = changes(browser, "!r0x5", "!odd0")
        browser.ask("decide_many", units=units, vote="reject")
        assert set(browser.lines(vote="rejected")) == set(units)
        assert "say why" in browser.refused("decide_many", units=units, vote="ignore")
        browser.ask("decide_many", units=units, vote="ignore", reason="a test")
        ignored = browser.lines(vote="ignored")
        assert set(ignored) == set(units) and "a test" in ignored["!odd0"]["ignored"]
        browser.ask("decide_many", units=units, vote="withdraw")
        assert browser.lines(vote="ignored") == {}

    async def test_what_was_picked_is_dropped_with_a_no(self, browser: Browser) -> None:
        browser.ask("pick", unit="!odd0", choices={"chat_id": "C9"})
        units = changes(browser, "!odd0", "!odd1")
        assert units["!odd0"]
        browser.ask("decide_many", units=units, vote="defer")
        assert "picked" not in browser.lines()["!odd0"]

    async def test_a_user_row_that_goes_along_stays_approved(self, browser: Browser) -> None:
        browser.ask("pick", unit="!odd0", choices={"chat_id": "C9"})
        browser.decide("!odd0", "approve")
        [along] = [unit for unit in browser.lines(vote="approved") if unit != "!odd0"]
        units = changes(browser, along)
        answer = browser.get("decide_many", "answer", units=units, vote="withdraw")
        assert "Not decided: 1 unit" in answer["words"]


class TestSettled:
    async def test_what_was_settled_is_found_where_it_was_and_says_why(
        self, browser: Browser
    ) -> None:
        before = browser.get("details", "details", unit="!twin8")
        browser.ask("pick", unit="!twin8", choices={"chat_id": "C9"})
        picked = browser.get("details", "details", unit="!twin8")
        assert picked["rows"] and picked["facts"] == before["facts"]
        line = browser.lines(status="conflict")["!twin8"]
        assert line["cause"] == before["line"]["cause"] and line["marks"][0] == [
            "+",
            "room row",
            "",
            "",
        ]
        counts = browser.state()["statuses"]
        browser.decide("!twin8", "approve")
        line = browser.lines(status="conflict")["!twin8"]
        assert (line["vote"], line["cause"]) == ("approved", before["line"]["cause"])
        after = browser.get("details", "details", unit="!twin8")
        assert (after["facts"], after["sides"]) == (before["facts"], before["sides"])
        assert after["rows"] == picked["rows"] and browser.state()["statuses"] == counts | {
            "mismatched": counts["mismatched"] + 1  # the owner's counter has to follow
        }
        assert "!twin8" in browser.lines(grouped=True, unfolded=[TWINS, RENAMED])
        await browser.apply()
        assert "!twin8" not in browser.lines(status="conflict")

    async def test_it_is_so_in_the_next_session_too(self, browser: Browser) -> None:
        browser.ask("pick", unit="!twin8", choices={"chat_id": "C9"})
        browser.decide("!twin8", "approve")
        session = browser.view.model.session
        await session.reload()
        assert browser.lines(status="conflict")["!twin8"]["vote"] == "approved"
        assert session.bare_plan() is session.bare_plan() is not session.state.plan
