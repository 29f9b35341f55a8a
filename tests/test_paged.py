"""The paged list: clicks are the model's methods, widgets are few, and no name is ever markup."""

import asyncio
import html
import re
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import pytest

from tests.bench import ALICE, BOB, BOT, Bench, small_rows
from tests.test_board import A1, A2, C1, TOKEN, UB, look
from tests.test_session import NOW
from toolkit.board import review
from toolkit.board.model import ReviewModel
from toolkit.board.paged import PagedReview
from toolkit.ledger import Vote
from toolkit.session import Session
from toolkit.snapshot import Snapshot, save_snapshot
from toolkit.testing import FakeHomeserver, World

HOSTILE = (
    "<img src=x onerror=\"window.__hacked='name'\"> $x^2$ \\(y\\) '\" &amp; \u202e" + "я" * 400
)
LIMIT = 400


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Alice's first chat has no rows, her second no room row, Bob's user row is gone."""
    bench = Bench(tmp_path / "bot.db")
    bench.fill({k: row for k, row in small_rows().items() if k not in (A1, C1, A2, UB)})
    return bench


@pytest.fixture
async def server(bench: Bench) -> AsyncIterator[FakeHomeserver]:
    async with FakeHomeserver(bench.world.rooms, BOT, TOKEN) as found:
        yield found


@pytest.fixture
async def view(bench: Bench, server: FakeHomeserver) -> PagedReview:
    bench.world.chat("!a9", "!alice", HOSTILE, owner=ALICE)
    return review(await look(bench, server))


async def many(tmp_path: Path, chats: int) -> Session:
    """A snapshot with this many rooms that have no rows."""
    world = World(BOT)
    for number in range(-(-chats // 10)):
        owner = f"@u{number}:hs"
        world.space(f"!s{number}", owner=owner)
        for chat in range(1, min(10, chats - 10 * number) + 1):
            world.chat(f"!r{number}x{chat}", f"!s{number}", f"Чат {chat}", owner=owner)
    rooms = {room_id: world.state(room_id) for room_id in world.rooms}
    path = tmp_path / f"taken-{chats}"
    save_snapshot(path, Snapshot(BOT, rooms, {}, {}), NOW)
    return await Session.open(snapshot=path)


def row(view: PagedReview, unit: str) -> Any:
    return next(row for row in view.rows if row.item and row.item.unit == unit)


def units(view: PagedReview) -> list[str]:
    """The units on display."""
    return [row.item.unit for row in view.rows if row.item]


def inside(widget: Any) -> Iterator[Any]:
    """A widget and all below it, with their layouts and styles."""
    yield widget
    for name in ("layout", "style"):
        if hasattr(widget, name):
            yield getattr(widget, name)
    for child in getattr(widget, "children", ()):
        yield from inside(child)


class TestClicking:
    async def test_approve_skip_and_withdraw(self, view: PagedReview) -> None:
        row(view, "!a1").approve.click()
        row(view, "!a2").skip.click()
        votes = view.model.session.plan.votes
        assert (votes["!a1"], votes["!a2"]) == (Vote.APPROVED, Vote.REJECTED)
        assert view.apply.description == "Apply 1 unit, 2 rows" and not view.apply.disabled
        assert "1 approved, 1 skipped" in view.counts.value
        row(view, "!a1").approve.click()
        row(view, "!a2").skip.click()
        assert set(view.model.session.plan.votes.values()) == {Vote.PENDING}
        assert view.apply.disabled and "nothing approved" in view.apply.description

    async def test_apply_twice_is_one_task(self, view: PagedReview, bench: Bench) -> None:
        row(view, "!a1").approve.click()
        view.apply.click()
        task = view.task
        view.apply.click()
        assert view.task is task and view.apply.disabled and not view.cancel.disabled
        await task
        assert bench.row(A1) == small_rows()[A1]
        assert "Written: 2 rows." in view.message.value and "running bot" in view.message.value
        assert view.apply.disabled and view.cancel.disabled
        assert view.bar.layout.visibility == "hidden" and view.bar.value == view.bar.max

    async def test_cancel(self, view: PagedReview, bench: Bench) -> None:
        before = bench.bytes()
        row(view, "!a1").approve.click()
        view.apply.click()
        view.cancel.click()
        assert (await view.task).cancelled and "Cancelled." in view.message.value
        assert bench.bytes() == before and not view.apply.disabled

    async def test_a_conflict_is_settled_by_a_choice_and_approve(
        self, view: PagedReview, bench: Bench
    ) -> None:
        line = row(view, "!a9")
        assert line.approve.disabled and line.choice.layout.display is None
        assert line.choice.options == ("pick one…", "chat id C3", "chat id C4", "chat id C5")
        line.choice.index = 2
        assert line.choice.options[0] == "picked: chat id C4" and line.choice.index == 0
        assert not line.approve.disabled
        line.approve.click()
        view.apply.click()
        await view.task
        assert bench.row("matrix_room:!a9")["chat_id"] == "C4"

    async def test_a_pick_is_taken_back(self, view: PagedReview) -> None:
        line = row(view, "!a9")
        line.choice.index = 1
        line.choice.index = len(line.choice.options) - 1
        assert line.choice.options[0] == "pick one…" and line.approve.disabled

    async def test_what_is_refused_is_said(self, view: PagedReview) -> None:
        row(view, "!a9").approve.click()
        assert "Not approved" in view.message.value and "error-color" in view.message.value

    async def test_all_of_a_filter_in_two_clicks(self, view: PagedReview) -> None:
        view.status.value = "missing"
        view.approve_all.click()
        assert view.approve_all.description == "Approve 3 units, 4 rows?"
        assert not view.model.items(vote="approved")
        view.approve_all.click()
        assert len(view.model.items(vote="approved")) == 3
        assert view.approve_all.disabled

    async def test_another_filter_takes_the_question_back(self, view: PagedReview) -> None:
        view.approve_all.click()
        view.text.value = "alice"
        assert view.approve_all.description == "Approve all 2 of these…"
        assert not view.model.items(vote="approved")

    async def test_filters(self, view: PagedReview) -> None:
        view.status.value = "conflict"
        assert units(view) == ["!a9"]
        view.status.value, view.text.value = "", BOB
        assert units(view) == [BOB]
        view.text.value = "no such thing"
        assert view.rows == []

    async def test_details_open_below_their_row(self, view: PagedReview) -> None:
        row(view, "!a1").more.click()
        front = view._sheets[0].widget.children
        place = front.index(view.opened)
        assert front[place - 1] is row(view, "!a1").widget
        assert "room row is missing" in view.details.value and "surface_ref" in view.details.value
        view.close.click()
        assert view.opened not in view._sheets[0].widget.children

    async def test_progress_shows(self, view: PagedReview) -> None:
        seen: list[tuple[int, int]] = []
        view.bar.observe(lambda _: seen.append((view.bar.value, view.bar.max)), names="value")
        row(view, "!a1").approve.click()
        view.apply.click()
        await view.task
        assert len(seen) > 3 and all(value <= most for value, most in seen)


class TestAgreeing:
    async def test_two_views_show_the_same(self, view: PagedReview) -> None:
        other = review(view.model.session, page=5)
        assert other is not view and other.model is view.model
        row(view, "!a1").approve.click()
        row(view, "!a9").choice.index = 1
        assert row(other, "!a1").approve.button_style == "success"
        assert row(other, "!a9").choice.options[0] == "picked: chat id C3"
        assert other.apply.description == view.apply.description

    async def test_showing_again_is_the_same_view_with_what_cells_have_decided(
        self, view: PagedReview
    ) -> None:
        view.model.session.approve("!a1")
        again = review(view.model.session)
        assert again is view and row(view, "!a1").approve.button_style == "success"
        view.model.session.reject("!a1")
        assert view._repr_mimebundle_()["application/vnd.jupyter.widget-view+json"]["model_id"]
        assert row(view, "!a1").skip.button_style == "warning"

    async def test_a_click_on_what_has_changed_since_is_refused(
        self, view: PagedReview, bench: Bench
    ) -> None:
        bench.put({C1: small_rows()[C1]})
        await view.model.session.reload()  # the list still shows what was
        row(view, "!a1").approve.click()
        assert "has changed since it was shown" in view.message.value
        assert not view.model.items(vote="approved")
        row(view, "!a1").approve.click()
        assert view.model.items(vote="approved")

    async def test_a_click_that_was_on_its_way_means_what_it_saw(self, view: PagedReview) -> None:
        late = row(view, "!a1")
        view.text.value = BOB
        assert units(view) == [BOB]
        late.approve.click()
        assert [i.unit for i in view.model.items(vote="approved")] == ["!a1"]


class TestPlain:
    async def test_without_javascript_there_is_the_sessions_own_table(
        self, view: PagedReview
    ) -> None:
        bundle = view._repr_mimebundle_()
        session = view.model.session
        assert bundle["text/plain"] == repr(session) == repr(view)
        assert bundle["text/html"] == session._repr_html_() and "<table" in bundle["text/html"]

    async def test_hostile_names_are_text_everywhere(self, view: PagedReview) -> None:
        row(view, "!a9").more.click()
        for widget in inside(view.widget):
            if isinstance(widget, widgets.HTML):
                assert "<img" not in widget.value and "\u202e" not in widget.value
                texts = re.sub(r"<span>[$\\]</span>|<[^>]*>", "", widget.value)
                assert "$" not in texts and "\\" not in texts
            elif description := getattr(widget, "description", ""):
                typeset = not isinstance(widget, widgets.Button)
                assert not (typeset and re.search(r"[$\\]", description))
                assert "\u202e" not in description
        assert html.escape(HOSTILE[:20]) in row(view, "!a9").line.value

    async def test_every_button_names_its_unit(self, view: PagedReview) -> None:
        names = [b.description for r in view.rows for b in (r.more, r.approve, r.skip)]
        names += [r.choice.description for r in view.rows]
        assert len(set(names)) == len(names)
        for r in view.rows:
            assert r.item and r.item.label in r.approve.description
            assert r.item.id in r.approve.tooltip

    @pytest.mark.parametrize("chats", [5, 50, 2000])
    async def test_the_number_of_widgets_is_the_same_for_all_sizes(
        self, tmp_path: Path, chats: int
    ) -> None:
        view = PagedReview(ReviewModel(await many(tmp_path, chats)))
        model_ids = {widget.model_id for widget in inside(view.widget)}
        waiting = [r for sheet in view._sheets for r in sheet._rows]
        for spare in (*waiting, view.opened):
            model_ids |= {w.model_id for w in inside(getattr(spare, "widget", spare))}
        assert len(model_ids) < LIMIT
        view.next.click()
        assert len(view.rows) == (6 if chats == 5 else 20)  # the user's row is a unit as well
        assert model_ids >= {widget.model_id for widget in inside(view.widget)}

    async def test_pages(self, tmp_path: Path) -> None:
        view = review(await many(tmp_path, 50))
        assert "Page 1 of 3, 55 units" in view.place.value and view.previous.disabled
        seen = units(view)
        for _ in range(3):  # the third click finds nothing more
            view.next.click()
            seen += units(view)
        assert len(set(seen)) == 55 and view.next.disabled and len(view.rows) == 15
        view.previous.click()
        assert "Page 2 of 3" in view.place.value

    async def test_all_in_sync_says_so(self, bench: Bench, server: FakeHomeserver) -> None:
        bench.put(small_rows())
        view = review(await look(bench, server))
        assert "All in sync" in view.counts.value and view.rows == []

    async def test_offline_it_says_where_to_apply(self, tmp_path: Path) -> None:
        view = review(await many(tmp_path, 5))
        view.approve_all.click()
        view.approve_all.click()
        view.apply.click()
        with pytest.raises(Exception, match="apply --decisions"):
            await view.task
        assert "apply --decisions" in view.message.value


async def test_a_model_loads_no_widgets(bench: Bench, server: FakeHomeserver) -> None:
    code = "import sys, toolkit.board; print('ipywidgets' in sys.modules)"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parent.parent
    )
    out, _ = await process.communicate()
    assert out.decode().strip() == "False"
