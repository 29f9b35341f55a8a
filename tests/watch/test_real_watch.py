"""A watch on a real Synapse: each kind of change is seen soon, and nothing of the bot's is touched.

A Synapse of this file's own: with the usual cache of initial syncs a message that is gone would still come.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.homes import API, SLIDING, Home, settle, write_database
from tests.watch.followed import Followed, Seen
from toolkit.convention import Convention
from toolkit.errors import TokenRefused
from toolkit.records import room_key
from toolkit.repairs import Repairs
from toolkit.sources.sides import Sides
from toolkit.testing import ApiUser, Synapse
from toolkit.testing.synapse import _call

pytestmark = [
    pytest.mark.synapse,
    pytest.mark.skipif(not Synapse.available(), reason="matrix-synapse is not installed"),
]

CONFIG = {
    "caches": {"sync_response_cache_duration": "0s"},
    "presence": {"enabled": True},
    "push": {"enabled": True},
}
See = Callable[[Callable[[], object], Callable[[Seen], bool]], None]
_log = logging.getLogger(__name__)


class Bot:
    """A bot with a Space and chats, its database, and the watch of both."""

    def __init__(self, home: Home, database: Path) -> None:
        self.home, self.database = home, database
        self.rooms = home.rooms
        self.alice = home.people["alice"]

    @property
    def road(self) -> Repairs:
        token = self.home.bot.account.access_token
        return Repairs(Sides(Convention(), self.home.hs.url, token, self.database))

    def call(self, method: str, path: str, body: Any = None, user: ApiUser | None = None) -> Any:
        account = (user or self.home.bot).account
        return _call(self.home.hs.url, method, path, body, account.access_token)

    def put(self, key: str, row: dict[str, Any] | None) -> None:
        with closing(sqlite3.connect(self.database)) as database, database:
            if row is None:
                database.execute("DELETE FROM kv WHERE key = ?", (key,))
            else:
                database.execute("INSERT OR REPLACE INTO kv VALUES (?, ?)", (key, json.dumps(row)))


@pytest.fixture(scope="module")
def hs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synapse]:
    with Synapse.start(tmp_path_factory.mktemp("watched"), config=CONFIG) as hs:
        yield hs


@pytest.fixture(scope="module")
def bot(hs: Synapse, tmp_path_factory: pytest.TempPathFactory) -> Bot:
    home = settle(hs, "bot", "alice")
    home.space("alice")
    for number in (1, 2, 3):
        home.chat("alice", number)
    database = tmp_path_factory.mktemp("rows") / "bot.db"
    write_database(database, home.rows("alice", 1, 2, 3))
    return Bot(home, database)


@pytest.fixture(scope="module")
def watch(bot: Bot) -> Iterator[Followed]:
    with Followed(bot.road) as followed:
        assert followed.last and followed.last.plan.in_sync
        yield followed


@pytest.fixture
def see(watch: Followed, request: pytest.FixtureRequest) -> See:
    """Do something, and wait until a look says so; how long that took is logged."""

    def act(do: Callable[[], object], fits: Callable[[Seen], bool]) -> None:
        assert watch.last and not fits(watch.last)
        do()
        _log.info("%s: %.2f s", request.node.name, watch.until(fits))

    return act


# -- rooms ----------------------------------------------------------------------------------------


def test_a_name(bot: Bot, see: See) -> None:
    room = bot.rooms["alice/1"]
    see(
        lambda: bot.home.bot.put_state(room, "m.room.name", {"name": "Отпуск"}),
        lambda seen: seen.codes(room) == {"wrong_field"},
    )


def test_an_invitation_accepted_left_and_thrown_out_of_by_a_user(bot: Bot, see: See) -> None:
    room, user = bot.rooms["alice/2"], bot.alice.user_id

    def is_(membership: str) -> Callable[[Seen], bool]:
        return lambda seen: (
            next(m.membership for m in seen.remote.rooms[room].members if m.user_id == user)
            == membership
        )

    see(lambda: bot.alice.join(room), is_("join"))
    see(lambda: bot.alice.leave(room), is_("leave"))
    see(lambda: bot.home.bot.invite(room, user), is_("invite"))
    see(lambda: bot.alice.join(room), is_("join"))
    see(lambda: bot.home.bot.kick(room, user), is_("leave"))


def test_a_room_that_the_bot_makes_and_leaves(bot: Bot, see: See) -> None:
    made = list[str]()
    see(
        lambda: made.append(bot.home.chat("alice", 4)),
        lambda seen: bool(made) and seen.codes(made[0]) == {"missing_row"},
    )
    see(lambda: bot.home.bot.leave(made[0]), lambda seen: not seen.codes(made[0]))


def test_a_room_that_the_bot_is_invited_to_joins_and_is_thrown_out_of(bot: Bot, see: See) -> None:
    group = bot.alice.create_room(name="Чат 8", invite=[bot.home.bot.user_id])

    def joined(seen: Seen) -> bool:
        return group in seen.remote.rooms

    see(lambda: bot.home.bot.join(group), joined)
    see(
        lambda: bot.alice.kick(group, bot.home.bot.user_id),
        lambda seen: not joined(seen),
    )


def test_an_upgrade(bot: Bot, see: See) -> None:
    old = bot.rooms["alice/3"]
    made = list[str]()
    see(
        lambda: made.append(bot.home.bot.upgrade(old)),
        lambda seen: bool(made) and "missing_row" in seen.codes(made[0]),
    )


def test_a_link_of_the_space(bot: Bot, see: See) -> None:
    space, room = bot.rooms["alice/space"], bot.rooms["alice/2"]
    see(
        lambda: bot.home.bot.put_state(space, "m.space.child", {}, room),
        lambda seen: room not in {link.target for link in seen.remote.rooms[space].children},
    )


def test_messages_end_no_poll_and_a_redaction_is_found_by_a_look_at_everything(bot: Bot) -> None:
    room = bot.rooms["alice/2"]
    event = bot.home.bot.put_state(room, "m.room.name", {"name": "Чат 2 и всё"})
    with Followed(bot.road, every=2) as watch:
        count = len(watch.looks)
        bot.home.bot.send_text(room, "Привет")
        bot.home.bot.redact(room, event)
        watch.until(lambda seen: seen.named(room) is None)
        assert [[*look.causes] for look in watch.looks[count:]] == [["time"]]


# -- rows -----------------------------------------------------------------------------------------


def test_a_row_that_is_updated_deleted_and_inserted(bot: Bot, see: See) -> None:
    room = bot.rooms["alice/1"]
    right = bot.home.room_row("alice", 1)
    see(
        lambda: bot.put(room_key(room), right | {"display_name": "Отпуск"}),
        lambda seen: not seen.codes(room),
    )
    see(
        lambda: bot.put(room_key(room), None),
        lambda seen: seen.codes(room) == {"missing_row"},
    )
    see(lambda: bot.put(room_key(room), right), lambda seen: seen.codes(room) == {"wrong_field"})


def test_another_database_under_the_same_name(bot: Bot, see: See, watch: Followed) -> None:
    room, other = bot.rooms["alice/1"], bot.database.with_suffix(".other")
    shutil.copy(bot.database, other)
    with closing(sqlite3.connect(other)) as database, database:
        database.execute("DELETE FROM kv WHERE key = ?", (room_key(room),))
    see(
        lambda: os.replace(other, bot.database),
        lambda seen: seen.codes(room) == {"missing_row"},
    )
    right = bot.home.room_row("alice", 1) | {"display_name": "Отпуск"}
    see(  # and it is that one which is watched from then on
        lambda: bot.put(room_key(room), right),
        lambda seen: not seen.codes(room),
    )
    assert watch.told == []


# -- what is the bot's ----------------------------------------------------------------------------


def send_to_device(bot: Bot, text: str) -> None:
    to = {bot.home.bot.user_id: {bot.home.bot.account.device_id: {"text": text}}}
    bot.call("PUT", f"{API}/sendToDevice/org.example.key/{text}", {"messages": to}, bot.alice)


def sync(bot: Bot, query: str = "") -> Any:
    return bot.call("GET", f"{API}/sync?timeout=0&set_presence=offline{query}")


def slide(bot: Bot, pos: str = "") -> Any:
    """The bot's own sliding sync."""
    wanted = {"ranges": [[0, 99]], "required_state": [["m.room.name", ""]], "timeline_limit": 1}
    return bot.call("POST", f"{SLIDING}?pos={pos}" if pos else SLIDING, {"lists": {"own": wanted}})


def test_messages_presence_counts_and_connections_of_the_bot_stay_as_they_are(
    bot: Bot, watch: Followed
) -> None:
    presence = f"{API}/presence/{bot.home.bot.user_id}/status"
    group = bot.alice.create_room(name="Группа", invite=[bot.home.bot.user_id])
    bot.home.bot.join(group)
    bot.alice.send_text(group, "Привет")
    counts = sync(bot)["rooms"]["join"][group]["unread_notifications"]
    assert counts["notification_count"] > 0
    before = bot.call("GET", presence, user=bot.alice)
    own = slide(bot)
    send_to_device(bot, "kept")
    for name in ("Раз", "Два", "Три"):  # so many polls and looks go by
        bot.alice.put_state(group, "m.room.name", {"name": name})
        watch.until(lambda seen: seen.named(group) == name)  # noqa: B023
    answer = sync(bot)
    assert [event["content"]["text"] for event in answer["to_device"]["events"]] == ["kept"]
    assert "to_device" not in sync(bot, f"&since={answer['next_batch']}")
    assert answer["rooms"]["join"][group]["unread_notifications"] == counts
    after = bot.call("GET", presence, user=bot.alice)
    assert before["presence"] == after["presence"] == "offline"
    again = slide(bot, own["pos"])
    assert list(again["rooms"]) == [group] and not again["rooms"][group].get("initial")


# -- what happens to the server -------------------------------------------------------------------


def connections(hs: Synapse) -> list[str]:
    """The names of the watches' connections that the homeserver remembers, the latest last."""
    with closing(sqlite3.connect(hs.directory / "hs.db")) as database:
        found = database.execute(
            "SELECT conn_id FROM sliding_sync_connections WHERE conn_id LIKE 'matrix-drift-watch-%' "
            "ORDER BY connection_key"
        ).fetchall()
    return [name for (name,) in found]


def test_a_server_that_restarts_and_forgets_while_rows_and_rooms_change(
    bot: Bot, hs: Synapse, see: See, watch: Followed
) -> None:
    room = bot.rooms["alice/1"]
    hs.stop()
    with closing(sqlite3.connect(hs.directory / "hs.db")) as database, database:
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("DELETE FROM sliding_sync_connections")
    watch.until_told(hs.url)
    bot.put(room_key(room), None)
    see(hs._launch, lambda seen: seen.codes(room) == {"missing_row"})
    see(
        lambda: bot.home.bot.put_state(room, "m.room.name", {"name": "После"}),
        lambda seen: seen.named(room) == "После",
    )
    assert len(watch.told) == 2 and watch.told[1].startswith("That is over")


def test_a_position_that_is_lost(bot: Bot, hs: Synapse, see: See, watch: Followed) -> None:
    [name] = connections(hs)[-1:]
    room = bot.rooms["alice/1"]
    wanted = {"ranges": [[0, 0]], "required_state": [], "timeline_limit": 0}
    bot.call("POST", SLIDING, {"conn_id": name, "lists": {"rooms": wanted}})  # which ends the other
    for text in ("Раз", "Два"):
        see(
            lambda: bot.home.bot.put_state(room, "m.room.name", {"name": text}),  # noqa: B023
            lambda seen: seen.named(room) == text,  # noqa: B023
        )
    assert len(watch.told) == 2  # that it was lost is nobody's trouble


def test_a_token_that_ends(bot: Bot, hs: Synapse) -> None:
    account = hs.register("other")
    sides = Sides(Convention(), hs.url, account.access_token, bot.database, allow_empty=True)
    with Followed(Repairs(sides)) as watch:
        _call(hs.url, "POST", f"{API}/logout", {}, account.access_token)
        bot.put("matrix_user:@other:example.org", {})  # or the open poll comes to its end
        error = watch.until_over()
    assert type(error) is TokenRefused and account.access_token not in str(error)
