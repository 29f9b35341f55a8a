"""What was found out about rooms that are no chats: a bot meets them in every message, and asks once.

An answer lives no longer than the client and the store that it was given for, and is given again while
neither the client's memory nor the rows say anything new about the room, and no more than ten minutes.
"""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeAlias
from weakref import ref

from toolkit.convention import Convention
from toolkit.database.contract import Store, transactional
from toolkit.database.look import Look, load_look
from toolkit.homeserver.client_memory import Glimpse, glimpse
from toolkit.model import Plan, Reason
from toolkit.planning.one_room import rows_about
from toolkit.records import Names, load_records

KEPT = 512
SECONDS = 600.0

now = time.monotonic

Met: TypeAlias = tuple[str, str]
Found: TypeAlias = tuple[Look, Plan]


class _Answer(NamedTuple):
    """What was found, and all that would have to change before it is looked for again."""

    plan: Plan
    convention: Convention
    seen: Glimpse
    look: Look
    until: float


class _Shelf(NamedTuple):
    """The answers for one client with one store, the latest last."""

    owners: tuple[object, object]
    answers: OrderedDict[Met, _Answer]


async def ask_once(
    client: Any,
    store: Store,
    convention: Convention,
    met: Met,
    look: Callable[[], Awaitable[Found]],
) -> Found:
    """What `look` finds about a room; remembered if it is no chat."""
    answers = _answers_of(client, store)
    if answers is None:
        return await look()
    seen = glimpse(client, met[0])
    if answer := await _recall(answers.pop(met, None), convention, seen, store, met[0]):
        answers[met] = answer
        return answer.look, answer.plan
    found = await look()
    if _is_no_chat(found[1]):
        kept, until = _rows_in(found[0], met[0]), now() + SECONDS
        answers[met] = _Answer(found[1], convention, seen, kept, until)
        if len(answers) > KEPT:
            answers.popitem(last=False)
    return found


async def _recall(
    answer: _Answer | None, convention: Convention, seen: Glimpse, store: Store, room_id: str
) -> _Answer | None:
    """The answer, if nothing has happened since that could make it another one."""
    if answer is None or now() > answer.until:
        return None
    if (answer.convention, answer.seen) != (convention, seen):
        return None
    if transactional(store) and await store.version() == answer.look.token:
        return answer
    look = _rows_in(await load_look(store, Names(frozenset([room_id]))), room_id)
    return answer._replace(look=look) if look.rows == answer.look.rows else None


def _rows_in(look: Look, room_id: str) -> Look:
    """No more of it than is about the room."""
    rows = rows_about(load_records(look.rows), room_id)
    return Look(rows, look.token, Names(frozenset([room_id])))


def _is_no_chat(plan: Plan) -> bool:
    """Whether that is all there is to say, and only its state or its rows can change it."""
    found = {f.remote for unit in plan.units for f in unit.findings}  # if a row calls it one
    return bool((found or {skip.reason for skip in plan.skipped}) & _NO_CHATS)


_NO_CHATS = {Reason.SPACE, Reason.NOT_CREATED_BY_BOT, Reason.NO_SPACE}

_shelves: dict[tuple[int, int], _Shelf] = {}


def _answers_of(client: object, store: object) -> OrderedDict[Met, _Answer] | None:
    """Those for these very two objects; None for one that can't be told to be gone."""
    key = id(client), id(store)
    if key not in _shelves:

        def forget(gone: object) -> None:
            _shelves.pop(key, None)

        try:
            _shelves[key] = _Shelf((ref(client, forget), ref(store, forget)), OrderedDict())
        except TypeError:
            return None
    return _shelves[key].answers
