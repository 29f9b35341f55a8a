"""A window of the list is the same as that part of all of it, whatever was asked for and decided before."""

import json
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.benchmark.board import open_session
from toolkit.board import ReviewModel, items, to_browser
from toolkit.board.in_sync import Quiet
from toolkit.board.items import Item
from toolkit.board.listing import Listing
from toolkit.board.orders import ORDERS
from toolkit.board.table import ReviewTable
from toolkit.board.tally import Approved, Counts, Tally
from toolkit.board.views import KEPT, VIEWS, Views, Wanted
from toolkit.board.windows import MOST, PAGE, Column, Order, Query, Unranked
from toolkit.decisions import standing
from toolkit.decisions.ledger import Vote
from toolkit.model import Plan, RemoteState, Status, Unit, UnitKind
from toolkit.records import CHAT, ROOM, USER
from toolkit.session.session import Session
from toolkit.text.collation import natural_key

CHATS = 24


def mixed(folder: Path, chats: int = CHATS) -> Session:
    """Some rooms in sync, some without a row, some without any and of a strange name, some users without theirs."""
    session = open_session(chats, folder)
    remote, rows = session.state.remote, dict(session.state.local.rows)
    rooms = dict(remote.rooms)
    for number, (room_id, room) in enumerate(remote.rooms.items()):
        if number % 4 == 1:
            rooms[room_id] = msgspec.structs.replace(room, name="Разговор")
    for number, key in enumerate(list(rows)):
        if (key.startswith(USER) and number % 3 == 0) or (key.startswith(CHAT) and number % 5 == 0):
            del rows[key]
    for number, unit in enumerate(session.state.plan.units):
        if unit.change and number % 3 == 1:
            rows |= {w.key: w.after for w in unit.change.writes if w.key.startswith(ROOM)}
    session.see(rows, session.state.past, RemoteState(remote.account, rooms))
    return session


TEXTS = st.sampled_from(["", "user1", "C2", "ЧАТ", "room row", "nothing like it"])
QUERIES = st.builds(
    Query,
    status=st.sampled_from(["", "missing", "conflict", "mismatched", "in sync", "skipped"]),
    vote=st.sampled_from(["", "", *Vote]),
    result=st.sampled_from(["", "", "", "applied", "stale"]),
    text=TEXTS,
    quiet=st.booleans(),
    sort=st.sampled_from(get_args(Column)),
    down=st.booleans(),
)
PLACES = st.integers(0, CHATS)
VERBS = st.sampled_from(["approve", "reject", "defer", "withdraw", "pick", "drop", "all", "cell"])


def expected(lines: Listing, query: Query) -> list[Item | Quiet]:
    """As it was done with all lines at hand: filter, then sort."""
    pool: list[Item | Quiet] = [*lines.items()]
    if query.result:
        pool += lines.finished()
    elif query.quiet:
        pool += lines.quiet()
    found = [line for line in pool if _matches(line, query)]
    if query.sort:
        found.sort(key=lambda line: natural_key(line.column(query.sort)), reverse=query.down)
    return found


def _matches(line: Item | Quiet, query: Query) -> bool:
    result = getattr(line, "result", None)
    return (
        (not query.status or line.status == query.status)
        and (not query.vote or getattr(line, "vote", "") == query.vote)
        and (not query.result or (result is not None and result.state == query.result))
        and (not query.text or line.has(query.text))
    )


def act(model: ReviewModel, verb: str, place: int) -> None:
    """What a person does about a unit; whether it is refused doesn't matter here."""
    units = model.session.state.plan.units
    unit = units[place % len(units)]
    if verb == "all":
        model.approve_all(text=unit.owner or "")
    elif verb == "cell":
        model.session.reject(unit.id)
    elif verb == "pick":
        options = model.details(unit.id).item.options
        model.pick(unit.id, options[0].choices if options else {"chat_id": "C77"})
    elif verb == "drop":
        model.pick(unit.id, None)
    else:
        model.decide(unit.id, verb)


class Mirror:
    """The lines of a view as the table's JavaScript keeps them."""

    def __init__(self, table: ReviewTable, name: str) -> None:
        self.table, self.name = table, name
        self.shown: dict[str, Any] = {}
        self.kinds: Counter[str] = Counter()
        self.lines_told = 0
        send = table.widget.send

        def hear(content: Any, buffers: Any = None) -> None:
            send(content, buffers)
            if content["to"] in ("", name):
                self.take(json.loads(json.dumps(content)))

        table.widget.send = hear

    def ask(self, do: str, **rest: Any) -> None:
        self.table._on_message(None, {"do": do, "view": self.name, **rest}, [])

    def take(self, told: Any) -> None:
        self.kinds[told["kind"]] += 1
        self.lines_told += len(told.get("lines", ()))
        if told["kind"] == "window":
            self.shown = {name: told[name] for name in ("start", "lines", "kept", "total", "ready")}
        elif told["kind"] == "lines":
            fresh = {line["unit"]: line for line in told["lines"]}
            lines = [fresh.get(line["unit"], line) for line in self.shown["lines"]]
            kept = [
                {"at": kept["at"], "line": fresh.get(kept["line"]["unit"], kept["line"])}
                for kept in self.shown["kept"]
            ]
            self.shown |= {"lines": lines, "kept": kept}
            self.shown |= {name: told[name] for name in ("total", "ready")}


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_window_is_that_part_of_the_whole_list(data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        model = ReviewModel(mixed(Path(folder)))
        queries = data.draw(st.lists(QUERIES, min_size=1, max_size=4))
        for verb, place in data.draw(st.lists(st.tuples(VERBS, PLACES), max_size=6)):
            act(model, verb, place)
            fresh = Listing(model.session, model._drafts, model._apply)
            for query in queries:
                whole = expected(fresh, query)
                start, count = data.draw(st.tuples(PLACES, PLACES))
                keep = [item.unit for item in model.items()[:2]] + ["!nobody"]
                found = model.window(query, start, count, keep)
                assert list(found.lines) == whole[start : start + count]
                assert found.total == len(whole)
                units = [line.unit for line in whole]
                assert [(kept.line.unit, kept.at) for kept in found.kept] == [
                    (unit, units.index(unit) if unit in units else -1) for unit in keep[:2]
                ]
                ready = set(model.would_approve(query.status, query.text).changes)
                assert found.ready == len(ready & set(units))
            votes = Counter(item.vote for item in fresh.items())
            assert model.counts() == fresh.counts() and model.counts().by_vote == votes
            approved = [i for i in fresh.items() if i.vote is Vote.APPROVED and i.change]
            assert model.counts().approved_rows == sum(item.rows for item in approved)
            assert model.approved() == fresh.approved()


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_what_a_view_is_told_step_by_step_is_what_it_would_be_told_at_once(
    data: st.DataObject,
) -> None:
    with TemporaryDirectory() as folder:
        table = ReviewTable(ReviewModel(mixed(Path(folder))))
        query = data.draw(QUERIES)
        asked = {name: getattr(query, name) for name in Query.__slots__}
        asked |= {"start": data.draw(PLACES), "count": data.draw(PLACES)}
        asked["keep"] = [table.model.items()[data.draw(PLACES) % 5].unit]
        mirror, other = Mirror(table, "one"), Mirror(table, "other")
        mirror.ask("window", **asked)
        for verb, place in data.draw(st.lists(st.tuples(VERBS, PLACES), max_size=6)):
            act(table.model, verb, place)
            other.ask("window", **asked)
            assert mirror.shown == other.shown


@pytest.mark.parametrize(
    ("texts", "column"),
    [
        (["", "_x", "-x", "@b9:hs", "@b10:hs", "@B011:hs", "0", "007", "8", "10", "a"], "signs"),
        (["C2", "c10", "Élan 1", "elan 2", "Ёж", "елка", "и", "й", "к", "שם"], "letters"),
    ],
)
def test_a_person_finds_texts_where_they_look_for_them(texts: list[str], column: str) -> None:
    shuffled = texts[::-1]
    assert sorted(shuffled, key=natural_key) == texts, column


def test_only_case_and_accents_make_no_difference() -> None:
    assert natural_key("ÉLAN 01") == natural_key("elan 1") != natural_key("elan 11")


class Values:
    """A pool of texts that change."""

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)

    def places(self, query: Query) -> range:
        return range(len(self.texts))

    def matches(self, place: int, query: Query) -> bool:
        return query.text in self.texts[place]

    def is_ready(self, place: int) -> bool:
        return True

    def value(self, place: int, column: Column) -> str:
        return self.texts[place] if column else ""

    def is_open(self, place: int) -> bool:
        return self.texts[place] != "c"

    def group(self, place: int) -> int:
        return len(self.texts[place])


def test_a_line_moves_to_where_it_belongs_and_a_value_that_was_never_there_is_told() -> None:
    pool = Values("b", "a", "b", "c")
    order, plain = Order(pool, Query(sort="name", down=True)), Order(pool, Query())
    assert order.window(0, 9) == [3, 0, 2, 1] and plain.window(1, 2) == [1, 2]
    pool.texts[3] = "a"
    order.touch(3)
    assert order.window(0, 9) == [0, 2, 1, 3] and order.find(3) == 3 and order.ready == 4
    pool.texts[1] = "d"
    plain.touch(1)
    with pytest.raises(Unranked):
        order.touch(1)


def test_what_is_approved_without_a_change_counts_as_nothing_to_write() -> None:
    tally = Tally([], {})
    none = tally.name()
    tally.approve("!a", Approved("!a", UnitKind.ROOM, "", 0))
    assert tally.counts() == Counts() and tally.name() != none
    tally.approve("!a", Approved("!a", UnitKind.ROOM, "c", 2))
    assert tally.counts().approved == {"room": 1} and tally.counts().approved_rows == 2
    tally.approve("!a", None)
    assert tally.name() == none and tally.counts().approved_units == 0


def test_a_label_follows_others_of_the_same_name() -> None:
    remote = RemoteState("@bot:hs", {})
    one, other = (
        Unit(
            id=room,
            kind=UnitKind.ROOM,
            status=Status.MISSING,
            findings=(),
            owner="@a",
            chat_id="C1",
        )
        for room in ("!one", "!other")
    )
    alone = items.Lines(Plan(account="@bot:hs", joined=(), units=(one,)), remote, None)
    assert alone.line(one).label == "C1 of @a"
    both = items.Lines(Plan(account="@bot:hs", joined=(), units=(one, other)), remote, None, alone)
    assert both.line(one).label == "C1 of @a (!one)" != both.line(other).label


def test_a_sorted_list_takes_a_picked_value_in(tmp_path: Path) -> None:
    model = ReviewModel(mixed(tmp_path))
    query = Query(sort="chat", down=True)
    unit = next(item.unit for item in model.items(status="conflict") if item.options)
    model.window(query, 0, PAGE)
    assert model.pick(unit, {"chat_id": "C77"}).accepted
    lines = model.window(query, 0, PAGE).lines
    chats = (line.unit for line in lines if isinstance(line, Item) and line.chat != "user row")
    assert next(chats) == unit


def test_what_is_picked_for_an_approved_unit_is_counted_as_it_would_be_written(
    tmp_path: Path,
) -> None:
    model = ReviewModel(mixed(tmp_path))
    unit = next(item.unit for item in model.items(status="conflict") if item.options)
    assert model.decide(unit, "approve", choices={"chat_id": "C77"}).accepted
    before = model.approved()
    assert model.pick(unit, {"chat_id": "C78"}).accepted
    assert model.approved() != before
    fresh = Listing(model.session, model._drafts, model._apply)
    assert (model.counts(), model.approved()) == (fresh.counts(), fresh.approved())
    model.pick(unit, None)
    assert model.approved() == before


@pytest.mark.parametrize("sort", ["owner", "action"])
def test_what_is_in_sync_or_skipped_is_sorted_and_searched_as_well(
    tmp_path: Path, sort: Column
) -> None:
    model = ReviewModel(mixed(tmp_path))
    query = Query(quiet=True, status="in sync", text="user", sort=sort, down=True)
    whole = expected(model._listing, query)
    assert list(model.window(query, 0, PAGE).lines) == whole and len(whole) > 1


@pytest.mark.parametrize("few", [0, 2000])
def test_many_at_once_and_one_by_one_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(standing, "MANY", few)
    model = ReviewModel(mixed(tmp_path))
    assert model.approve_all().accepted
    fresh = Listing(model.session, model._drafts, model._apply)
    assert model.items() == fresh.items()
    assert (model.counts(), model.approved()) == (fresh.counts(), fresh.approved())


class TestWork:
    """What a click costs doesn't grow with the list."""

    @pytest.fixture
    def made(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The units whose lines were made."""
        found: list[str] = []
        make = items.make_item

        def counted(unit: Any, *rest: Any) -> Any:
            found.append(unit.id)
            return make(unit, *rest)

        monkeypatch.setattr(items, "make_item", counted)
        return found

    @pytest.mark.parametrize("chats", [200, 1000])
    def test_lines_are_made_and_told_as_they_are_seen(
        self, tmp_path: Path, made: list[str], chats: int
    ) -> None:
        table = ReviewTable(ReviewModel(open_session(chats, tmp_path)))
        mirror = Mirror(table, "one")
        mirror.ask("ready")
        assert (
            made == [] and mirror.shown["total"] == 1
        )  # the one thing that is the matter with all
        mirror.lines_told = 0
        mirror.ask("window")
        assert len(made) == mirror.lines_told == PAGE and mirror.shown["total"] == chats
        assert len(json.dumps(mirror.shown)) < 1_000_000
        mirror.kinds.clear()
        mirror.lines_told = 0
        made.clear()
        for line in mirror.shown["lines"][:3]:
            mirror.ask("decide", unit=line["unit"], vote="approve", change=line["change"])
        assert made == [] and mirror.lines_told == 3 and mirror.kinds["lines"] == 3
        mirror.ask("window", start=chats - 10, vote="pending")
        assert len(made) <= 13 and mirror.shown["total"] == chats - 3

    def test_the_largest_window_of_the_longest_lines_is_less_than_a_megabyte(self) -> None:
        texts: dict[str, Any] = {
            **dict.fromkeys(("label", "id", "owner", "name", "chat_id"), "𐀀" * 200),
            **dict.fromkeys(("cause", "action"), "𐀀" * items.LONG),
        }
        room, conflict, unit = UnitKind.ROOM, Status.CONFLICT, "!" + "u" * 254
        wide = items.Item(unit=unit, kind=room, status=conflict, vote=Vote.PENDING, **texts)
        told = json.dumps(to_browser.line(wide), ensure_ascii=False).encode()
        assert len(told) * (MOST + KEPT) < 1_000_000

    def test_few_orders_and_views_are_kept(self, tmp_path: Path) -> None:
        model = ReviewModel(mixed(tmp_path))
        for number in range(ORDERS + 3):
            model.window(Query(text=f"@user{number}"), 0, PAGE)
        assert len(model._listing._orders) == ORDERS
        views, window = Views(), model.window(Query(), 0, PAGE)
        for number in range(VIEWS):
            views.tell(str(number), Wanted(), window)
        assert views.take_forgotten() is None
        views.tell("0", Wanted(), window)
        views.tell("late", Wanted(), window)
        assert views.take_forgotten() == [*map(str, range(2, VIEWS)), "0", "late"]
        assert views.take_forgotten() is None


class TestViews:
    def test_a_view_that_is_gone_is_told_nothing(self, tmp_path: Path) -> None:
        table = ReviewTable(ReviewModel(mixed(tmp_path)))
        gone, there = Mirror(table, "gone"), Mirror(table, "there")
        for mirror in (gone, there):
            mirror.ask("ready")
        gone.ask("bye")
        gone.kinds.clear()
        line = there.shown["lines"][0]
        there.ask("decide", unit=line["unit"], vote="reject", change=line["change"])
        assert there.shown["lines"][0]["vote"] == "rejected"
        assert gone.kinds["lines"] == gone.kinds["window"] == 0

    def test_who_was_forgotten_is_told_to_ask_again(self, tmp_path: Path) -> None:
        table = ReviewTable(ReviewModel(mixed(tmp_path)))
        mirrors = [Mirror(table, str(number)) for number in range(VIEWS + 1)]
        for mirror in mirrors:
            mirror.ask("ready")
        table.model.session.reject(table.model.items()[0].unit)
        assert {mirror.kinds["again"] for mirror in mirrors} == {1}
        assert mirrors[0].kinds["lines"] == 0 and mirrors[1].kinds["lines"] == 1

    def test_a_line_that_leaves_the_filter_is_told_to_who_decided(self, tmp_path: Path) -> None:
        mirror = Mirror(ReviewTable(ReviewModel(mixed(tmp_path))), "one")
        mirror.ask("window", vote="pending", count=3)
        line = mirror.shown["lines"][0]
        mirror.ask("decide", unit=line["unit"], vote="reject", change=line["change"])
        [kept] = mirror.shown["kept"]
        assert (kept["at"], kept["line"]["vote"]) == (-1, "rejected")
        assert line["unit"] not in [line["unit"] for line in mirror.shown["lines"]]

    def test_a_plan_without_units_has_an_empty_window(self, tmp_path: Path) -> None:
        session = open_session(2, tmp_path)
        session.see({}, session.state.past, RemoteState("@bot:hs", {}))
        assert session.state.plan == Plan(account="@bot:hs", joined=())
        found = ReviewModel(session).window(Query(quiet=True, sort="owner"), 0, PAGE)
        assert (found.total, found.lines) == (0, ())
