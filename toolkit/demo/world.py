"""A small bot's world on a real Synapse, made by API calls, and the bot's database gone wrong.

Six users with a dozen chats, and rows lost and wrong in the ways that happen in real life;
`DEMO_DRIFT` says what a planner must find. The users are made side by side, and what belongs to one
of them in a fixed order.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from toolkit.model import Code, Reason, Status
from toolkit.records import chat_key, new_chat_row, room_key, user_key
from toolkit.testing.synapse import Account, ApiUser, Synapse

BOT = "bot"
USERS = ("alice", "bob", "carol", "dave", "erin", "frank")
STRANGER = "mallory"
HOSTILE_NAME = "<img src=x onerror=alert(1)> \x1b[2J\x1b[31m Чат\u202e1 \u200btxt.exe"
"""HTML for a notebook, ANSI for a terminal, right-to-left and zero-width marks for the eye."""

_THREADS = 8
"""More gain nothing: Synapse with SQLite does one thing at a time."""

Rows = dict[str, Any]


class Expected(NamedTuple):
    """What a planner must say about a user row or a chat: status, and codes of its findings."""

    status: Status
    codes: frozenset[Code] = frozenset()


def _expect(status: Status, *codes: Code) -> Expected:
    return Expected(status, frozenset(codes))


DEMO_DRIFT: Mapping[str, Expected] = {
    "alice": _expect(Status.MISSING, Code.MISSING_ROW),
    "alice/1": _expect(Status.MISSING, Code.MISSING_ROW),
    "alice/2": _expect(Status.MISSING, Code.MISSING_ROW),
    "alice/3": _expect(Status.MISSING, Code.MISSING_ROW, Code.WRONG_SURFACE_REF),
    "bob": _expect(Status.MISMATCHED, Code.COUNTER_TOO_LOW),
    "bob/1": _expect(Status.MISSING, Code.MISSING_ROW),
    "bob/2": _expect(Status.MISMATCHED, Code.WRONG_FIELD),
    "bob/3": _expect(Status.MISMATCHED, Code.WRONG_SURFACE_REF),
    "carol": _expect(Status.MISMATCHED, Code.COUNTER_TOO_HIGH),
    "carol/1": _expect(Status.CONFLICT, Code.UNREADABLE_ROW),
    "carol/2": _expect(Status.CONFLICT, Code.DUPLICATE_CHAT_ID),
    "carol/2 twin": _expect(Status.CONFLICT, Code.DUPLICATE_CHAT_ID),
    "dave": _expect(Status.IN_SYNC),
    "dave/1": _expect(Status.IN_SYNC),
    # Only a proposal says that this Space is Erin's, so its user row goes by the Space's id.
    "erin/space": _expect(Status.CONFLICT, Code.OWNER_LEFT, Code.MISSING_ROW),
    "erin/1": _expect(Status.CONFLICT, Code.OWNER_LEFT, Code.MISSING_ROW),
    "frank": _expect(Status.IN_SYNC),
    "frank/1": _expect(Status.MISMATCHED, Code.WRONG_FIELD),
    "frank/2": _expect(Status.MISMATCHED, Code.WRONG_FIELD),
}
"""By label: a localpart is the user's row, "alice/1" the room of that user's first chat."""

DEMO_SKIPPED: Mapping[str, Reason] = {
    **{f"{name}/space": Reason.SPACE for name in USERS},
    "alice/3 old": Reason.TOMBSTONED,
    "dave/2": Reason.NO_SPACE,
    "mallory/group": Reason.NOT_CREATED_BY_BOT,
}
"""Joined rooms that are no chats, by label, and why."""


@dataclass(frozen=True, slots=True)
class DemoWorld:
    """Where the demo's two sides are. `account` is the bot's; labels as in `DEMO_DRIFT`.

    `rooms` also holds the two that the bot left, "bob/3 left" and "bob/4 left".
    """

    url: str
    account: Account
    users: Mapping[str, Account]
    rooms: Mapping[str, str]
    database: Path

    @property
    def expected(self) -> Mapping[str, Expected]:
        """`DEMO_DRIFT` under the ids that a plan's units have: mxids and room ids."""
        ids = dict(self.rooms) | {name: account.user_id for name, account in self.users.items()}
        return {ids[label]: expected for label, expected in DEMO_DRIFT.items()}

    @property
    def skipped(self) -> Mapping[str, Reason]:
        """`DEMO_SKIPPED` under room ids."""
        return {self.rooms[label]: reason for label, reason in DEMO_SKIPPED.items()}

    @property
    def orphans(self) -> tuple[str, ...]:
        """Keys of the rows that belong to no joined room, sorted."""
        bob = self.users["bob"].user_id
        placeholder = chat_key(bob, f"unregistered:{self.rooms['bob/1']}")
        left = room_key(self.rooms["bob/4 left"])
        return tuple(sorted([chat_key(bob, "C4"), placeholder, left]))


@contextmanager
def open_demo(
    directory: Path | None = None, started: Callable[[Synapse], object] | None = None
) -> Iterator[tuple[Synapse, DemoWorld]]:
    """Start a Synapse with the demo's world; at the end it is stopped and its files are gone.

    The files lie in a new folder below `directory`, by default the system's temporary one.
    `started` is called between starting and seeding, which takes longer.
    """
    with (
        TemporaryDirectory(prefix="matrix-drift-demo-", dir=directory) as files,
        Synapse.start(Path(files) / "synapse") as hs,
    ):
        if started:
            started(hs)
        yield hs, seed_demo(hs, Path(files))


def seed_demo(hs: Synapse, directory: Path) -> DemoWorld:
    """Make users and rooms on the homeserver, and the bot's broken database in `directory`."""
    with ThreadPoolExecutor(_THREADS) as pool:
        names = (BOT, *USERS, STRANGER)
        accounts = dict(zip(names, pool.map(hs.register, names), strict=True))
        people = {name: ApiUser(hs.url, account) for name, account in accounts.items()}
        bot = people.pop(BOT)
        jobs = [
            pool.submit(build, _Seeder(hs.server_name, bot, people, name))
            for name, build in _BUILDERS.items()
        ]
        rooms = {label: room for job in jobs for label, room in job.result().items()}
    del accounts[BOT]
    database = directory / "bot.db"
    _write_database(database, _broken_rows(rooms, {n: a.user_id for n, a in accounts.items()}))
    return DemoWorld(hs.url, bot.account, accounts, rooms, database)


# The homeserver's side


class _Seeder:
    """Makes one user's Space and chats as the bot does, one call after the other."""

    def __init__(
        self, server_name: str, bot: ApiUser, people: Mapping[str, ApiUser], name: str
    ) -> None:
        self.bot = bot
        self.people = people
        self.name = name
        self.user = people[name]
        self.via = {"via": [server_name]}
        self.rooms: dict[str, str] = {}

    def space(self, version: str = "12") -> str:
        """A Space that the user has joined."""
        space = self.bot.create_room(
            name=f"Чаты {self.name}",
            room_version=version,
            creation_content={"type": "m.space"} | self._mark("space"),
            invite=[self.user.user_id],
        )
        self.user.join(space)
        return self._remember("space", space)

    def chat(self, label: str, name: str, *, linked: bool = True, version: str = "12") -> str:
        """A chat to which the user is invited; below the Space, unless the bot died before that."""
        space = self.rooms[f"{self.name}/space"]
        parent = {"type": "m.space.parent", "state_key": space, "content": self.via}
        room = self.bot.create_room(
            name=name,
            room_version=version,
            creation_content=self._mark(label),
            invite=[self.user.user_id],
            initial_state=[parent] if linked else [],
        )
        if linked:
            self.bot.put_state(space, "m.space.child", self.via, room)
        return self._remember(label, room)

    def rename(self, room: str, name: str) -> None:
        """Give a room another name."""
        self.bot.put_state(room, "m.room.name", {"name": name})

    def _mark(self, label: str) -> dict[str, str]:
        """What makes a create event like no other.

        A version 12 room's id is the hash of its create event, and two equal ones of the same
        millisecond are the same room: older versions of Synapse refuse the second with a 500.
        """
        return {"org.example.label": f"{self.name}/{label}"}

    def _remember(self, label: str, room: str) -> str:
        self.rooms[f"{self.name}/{label}"] = room
        return room


def _build_alice(seed: _Seeder) -> dict[str, str]:
    space = seed.space()
    seed.user.join(seed.chat("1", "Чат 1", version="10"))
    seed.chat("2", "Чат 2")
    old = seed.chat("3 old", "Чат 3", version="10")
    # The new room has no member but the bot, and no parent; the Space goes on listing the old one.
    seed.rooms["alice/3"] = seed.bot.upgrade(old)
    _build_lookalike(seed, space)
    return seed.rooms


def _build_lookalike(seed: _Seeder, space: str) -> None:
    """A stranger's group that looks like Alice's chat in everything but who made it."""
    stranger = seed.people[STRANGER]
    parent = {"type": "m.space.parent", "state_key": space, "content": seed.via}
    group = stranger.create_room(
        name="Чат 2",
        room_version="12",
        invite=[seed.user.user_id, seed.bot.user_id],
        initial_state=[parent],
    )
    seed.bot.join(group)
    seed.user.join(group)
    seed.rooms["mallory/group"] = group


def _build_bob(seed: _Seeder) -> dict[str, str]:
    seed.space(version="10")
    seed.user.join(seed.chat("1", "Чат 1"))
    seed.rename(seed.chat("2", "Чат 2"), "Отпуск")
    seed.bot.leave(seed.chat("3 left", "Чат 3"))
    seed.chat("3", "Чат 3")
    seed.bot.leave(seed.chat("4 left", "Чат 4"))
    return seed.rooms


def _build_carol(seed: _Seeder) -> dict[str, str]:
    seed.space()
    seed.chat("1", "Чат 1", version="11")
    seed.user.join(seed.chat("2", "Чат 2"))
    seed.chat("2 twin", "Чат 2")
    return seed.rooms


def _build_dave(seed: _Seeder) -> dict[str, str]:
    seed.space()
    seed.user.join(seed.chat("1", "Чат 1"))
    seed.chat("2", "Чат 2", linked=False)
    return seed.rooms


def _build_erin(seed: _Seeder) -> dict[str, str]:
    space = seed.space()
    chat = seed.chat("1", "Чат 1")
    seed.user.join(chat)
    seed.user.leave(chat)
    seed.user.leave(space)
    return seed.rooms


def _build_frank(seed: _Seeder) -> dict[str, str]:
    seed.space()
    seed.rename(seed.chat("1", "Чат 1"), HOSTILE_NAME)
    seed.chat("2", "Чат 2")
    return seed.rooms


_BUILDERS: Mapping[str, Callable[[_Seeder], dict[str, str]]] = {
    # The longest first, so that the others run beside it.
    "alice": _build_alice,
    "bob": _build_bob,
    "carol": _build_carol,
    "dave": _build_dave,
    "erin": _build_erin,
    "frank": _build_frank,
}


# The bot's side


def _broken_rows(rooms: Mapping[str, str], users: Mapping[str, str]) -> Rows:
    """The rows as they should be, and then what life did to them; a text is stored as it is."""
    kv = _right_rows(rooms, users)
    _lose_rows(kv, rooms, users)
    _falsify_rows(kv, rooms, users)
    _litter(kv, rooms, users)
    return kv


def _right_rows(rooms: Mapping[str, str], users: Mapping[str, str]) -> Rows:
    """What a bot that never failed would have, up to the upgrade and the renaming."""
    kv: Rows = {"bot:settings": {"greeting": "Привет!"}}
    chats = {
        "alice": {"C1": "1", "C2": "2", "C3": "3 old"},
        "bob": {"C1": "1", "C2": "2", "C3": "3", "C4": "4 left"},
        "carol": {"C1": "1"},
        "dave": {"C1": "1"},
        "erin": {"C1": "1"},
        "frank": {"C1": "1", "C2": "2"},
    }
    for name, labels in chats.items():
        user, space = users[name], rooms[f"{name}/space"]
        # `language` and `muted` are the bot's own: a repair keeps them.
        kv[user_key(user)] = {
            "space_id": space,
            "next_chat_index": len(labels) + 1,
            "language": "ru",
        }
        for chat_id, label in labels.items():
            room, title = rooms[f"{name}/{label}"], f"Чат {chat_id[1:]}"
            kv[room_key(room)] = {
                "room_type": "chat",
                "chat_id": chat_id,
                "display_name": title,
                "matrix_user_id": user,
                "space_id": space,
                "muted": False,
            }
            kv[chat_key(user, chat_id)] = new_chat_row(user, chat_id, "matrix", room, title)
    return kv


def _lose_rows(kv: Rows, rooms: Mapping[str, str], users: Mapping[str, str]) -> None:
    # A migration rewrote all user rows and was killed after deleting this one.
    del kv[user_key(users["alice"])]
    # The bot writes the room row last, and was stopped between the two writes.
    del kv[room_key(rooms["alice/1"])]
    # The other way round: a "delete chat" command took the chat row, then failed to leave the room.
    del kv[chat_key(users["alice"], "C2")]
    # A backup from before the chat was put back: the room is younger than both rows.
    del kv[room_key(rooms["bob/1"])]
    del kv[chat_key(users["bob"], "C1")]
    # A clean-up job forgot the user who left; Space and chat are still there.
    del kv[user_key(users["erin"])]
    del kv[room_key(rooms["erin/1"])]
    del kv[chat_key(users["erin"], "C1")]
    # Alice's third chat was upgraded, and nobody told the database: its two rows go on naming the
    # old room (`_right_rows`). Carol's twins never had rows: a reset made the second one beside the
    # first, and took the rows of both.


def _falsify_rows(kv: Rows, rooms: Mapping[str, str], users: Mapping[str, str]) -> None:
    # A chat was reset: the bot left its room, made another one, and was stopped before this write.
    kv[chat_key(users["bob"], "C3")]["surface_ref"] = rooms["bob/3 left"]
    # Renaming a room in Element changes no row: Bob's second chat and Frank's first are still
    # "Чат 2" and "Чат 1" here.
    # Two handlers read the counter, both wrote it back: the later one won with the lower number.
    kv[user_key(users["bob"])]["next_chat_index"] = 2
    # Numbers were drawn for chats whose making failed.
    kv[user_key(users["carol"])]["next_chat_index"] = 9
    # The row was mended by hand in a shell that swallowed the quotes.
    kv[room_key(rooms["carol/1"])] = "{room_type: chat, chat_id: C1, display_name: Чат 1}"
    # An early version of the bot knew one platform only, and didn't write it down.
    del kv[chat_key(users["frank"], "C2")]["platform"]


def _litter(kv: Rows, rooms: Mapping[str, str], users: Mapping[str, str]) -> None:
    # The bot left Bob's fourth chat, and kept its two rows (`_right_rows`).
    # A message came in Bob's first chat after its rows were lost: the bot wrote a placeholder.
    bob, room = users["bob"], rooms["bob/1"]
    placeholder = f"unregistered:{room}"
    kv[chat_key(bob, placeholder)] = new_chat_row(bob, placeholder, "matrix", room, placeholder)


def _write_database(path: Path, kv: Rows) -> None:
    """Write the file as the bot's own code would, in the order of the keys."""
    rows = [
        (key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for key, value in sorted(kv.items())
    ]
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT)")
        database.executemany("INSERT INTO kv VALUES (?, ?)", rows)
