"""What may happen to a bot's rooms and rows, one change of each kind, and how a look shows it."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from toolkit.benchmark.homes import LINK, Guest
from toolkit.records import room_key
from toolkit.testing.synapse import ApiUser
from toolkit.watch.watch import Look


class Change(NamedTuple):
    """What is done, and whether a look shows it."""

    kind: str
    do: Callable[[], object]
    shows: Callable[[Look], bool]


def each_change(bot: ApiUser, guest: Guest, database: Path, number: int) -> Iterator[Change]:
    """One of each kind, the `number`th time; an upgrade comes last, of which more is told than a look shows."""
    yield from _of_rows(database, room_key(guest.chats[2]), number)
    yield from _of_rooms(bot, guest, number)


def _of_rooms(bot: ApiUser, guest: Guest, number: int) -> Iterator[Change]:
    user, space, (old, room, *_) = guest
    name, gone = f"Отпуск {number}", number % 2 == 0
    made = list[str]()

    def is_(membership: str) -> Callable[[Look], bool]:
        here = user.user_id, membership
        return lambda look: (
            here in {(m.user_id, m.membership) for m in look.remote.rooms[room].members}
        )

    def link(look: Look) -> bool:
        return gone != (room in {link.target for link in look.remote.rooms[space].children})

    yield Change(
        "a room's name",
        lambda: bot.put_state(room, "m.room.name", {"name": name}),
        lambda look: look.remote.rooms[room].name == name,
    )
    yield Change("a user joins", lambda: user.join(room), is_("join"))
    yield Change("a user leaves", lambda: user.leave(room), is_("leave"))
    content: dict[str, object] = {} if gone else LINK
    yield Change(
        "a link of a Space",
        lambda: bot.put_state(space, "m.space.child", content, room),
        link,
    )
    yield Change(
        "an upgrade",
        lambda: made.append(bot.upgrade(old)),
        lambda look: bool(made) and made[0] in look.remote.rooms,
    )
    guest.chats[0] = made[0]
    bot.invite(room, user.user_id)


def _of_rows(database: Path, key: str, number: int) -> Iterator[Change]:
    first, last = (json.dumps({"display_name": f"{number} {part}"}) for part in "ab")
    with closing(sqlite3.connect(database)) as connection:
        [right] = connection.execute("SELECT value FROM kv WHERE key = ?", (key,)).fetchone()

    def put(file: Path, row: str | None) -> None:
        with closing(sqlite3.connect(file)) as connection, connection:
            if row is None:
                connection.execute("DELETE FROM kv WHERE key = ?", (key,))
            else:
                connection.execute("INSERT OR REPLACE INTO kv VALUES (?, ?)", (key, row))

    def replace() -> None:
        other = database.with_suffix(".other")
        shutil.copy(database, other)
        put(other, last)
        os.replace(other, database)

    yield Change(
        "a row updated", lambda: put(database, first), lambda look: look.rows[key] == first
    )
    yield Change("a row deleted", lambda: put(database, None), lambda look: key not in look.rows)
    yield Change("a row inserted", lambda: put(database, right), lambda look: key in look.rows)
    yield Change("the database replaced", replace, lambda look: look.rows[key] == last)
