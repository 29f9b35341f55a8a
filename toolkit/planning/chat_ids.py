"""Which chat a room is: the ladder of rules 2.7, duplicates, and proposals. Pure.

Works on all chats of one owner at once, because a number can be right for one room only by not being
another's.
"""

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

import msgspec

from toolkit.convention import Convention, chat_number
from toolkit.model import NO_EVIDENCE, RANK, Choices, Code, Evidence, RoomState, Rung
from toolkit.planning.presence import Presence
from toolkit.planning.row_index import Naming
from toolkit.quotes import quote_odd

RIVALS = 8
"""Rooms that a claimant is told of: there may be thousands, each with all others."""


class ChatId(msgspec.Struct, frozen=True, gc=False):
    """The answer for one room: certain if `code` is None, else a conflict, perhaps with a proposal.

    `claims` are all ids that the room may turn out to hold; nobody else may be given one of them.
    `free`: the id may be had by a mere yes: no other room claims it or is proposed it.
    `recorded`: both rows say so, and are right in everything else too. `rivals` are the rooms that claim
    the same id.
    """

    chat_id: str | None
    evidence: Evidence = NO_EVIDENCE
    code: Code | None = None
    cause: str = ""
    claims: tuple[tuple[str, Rung], ...] = ()
    free: bool = True
    recorded: bool = False
    rivals: tuple[str, ...] = ()

    @property
    def certain(self) -> bool:
        return self.code is None and self.chat_id is not None


@lru_cache(maxsize=4096)  # frozen, and a bot's chats share a few ids
def _by_row(chat_id: str, recorded: bool) -> ChatId:
    claims = ((chat_id, Rung.ROOM_ROW),)
    return ChatId(chat_id, Evidence(Rung.ROOM_ROW), claims=claims, recorded=recorded)


class Context(msgspec.Struct, frozen=True):
    """What the ladder asks besides the rooms."""

    accounts: frozenset[str]
    convention: Convention
    naming: Naming


def find_chat_ids(
    chats: Mapping[str, tuple[RoomState, ...]],
    owner: str,
    space: str | None,
    context: Context,
    choices: Mapping[str, Choices],
    unread: Mapping[str, ChatId] = MappingProxyType({}),
    beside: Mapping[str, tuple[RoomState, ...]] = MappingProxyType({}),
) -> dict[str, ChatId]:
    """Room id -> answer, for all chats of one owner (newest version -> all versions).

    `unread`: what is known of other rooms, most of which could not be read; they claim, and get no
    answer. `beside` has those of them that were.
    """
    found = {
        room_id: find_chat_id(versions, owner, space, context)
        for room_id, versions in chats.items()
    }
    found |= unread
    picked = {
        room_id: choice.chat_id
        for room_id in (chats if choices else ())
        if (choice := choices.get(room_id)) and choice.chat_id is not None
    }
    standing = dict(found) if picked else found
    seen = {**beside, **chats} if beside else chats
    _settle_duplicates(standing, owner, seen)
    _doubt_names(standing, chats)
    if picked:  # which says nothing of other rooms: their names are as doubtful as before
        found |= {room_id: answer for room_id, answer in standing.items() if _is_proposal(answer)}
        found |= _pick(picked, found, standing, chats, owner, context)
        _settle_duplicates(found, owner, seen)
    if any(answer.code for answer in found.values()):
        _propose_by_creation(found, chats)
        _mark_taken(found)
    return {room_id: found[room_id] for room_id in chats} if unread else found


def find_chat_id(
    versions: tuple[RoomState, ...], owner: str, space: str | None, context: Context
) -> ChatId:
    """Climb down the ladder for one room, without looking at its neighbours."""
    if answer := _by_pair(versions, owner, space, context):
        return answer
    claims: list[tuple[str, Rung]] = []
    proof: tuple[str, ...] = ()
    for rung, told in (
        (Rung.ROOM_ROW, _room_row(versions, owner, context)),
        (Rung.CHAT_ROW, _chat_row(versions, owner, context)),
    ):
        if told:
            claims.append((told, rung))
    if event := _state_event(versions, context):
        claims.append((event.chat_id, Rung.STATE_EVENT))
        proof = (event.chat_id_event,) if len(claims) == 1 else ()
    if claims:
        chat_id, rung = claims[0]
        if any(other != chat_id for other, _ in claims):
            return ChatId(
                None, NO_EVIDENCE, Code.EVIDENCE_DISAGREES, _disagree(claims), tuple(claims)
            )
        return ChatId(chat_id, Evidence(rung, proof), claims=((chat_id, rung),))
    return _by_name(versions, context)


def _by_pair(
    versions: tuple[RoomState, ...], owner: str, space: str | None, context: Context
) -> ChatId | None:
    """The short road for the many rooms whose two rows agree, and no event says otherwise."""
    room = versions[0]
    pair = context.naming.pairs.get(room.room_id)
    if pair is None or pair.matrix_user_id != owner:
        return None
    for version in versions:
        if version.chat_id is not None and version.chat_id != pair.chat_id:
            return None
    named = room.name is None or room.name == pair.display_name
    return _by_row(pair.chat_id, named and pair.space_id == space)


def _room_row(versions: tuple[RoomState, ...], owner: str, context: Context) -> str | None:
    rows = context.naming.local.rooms
    for version in versions:
        row = rows.get(version.room_id)
        if row and row.matrix_user_id == owner and chat_number(row.chat_id):
            return row.chat_id
    return None


def _chat_row(versions: tuple[RoomState, ...], owner: str, context: Context) -> str | None:
    for version in versions:
        names = context.naming.names(version.room_id)
        ids = [chat_id for user, chat_id in names if user == owner]
        if len(ids) == 1:
            return ids[0]
    return None


def _state_event(versions: tuple[RoomState, ...], context: Context) -> RoomState | None:
    if context.convention.state_event_type is None:
        return None
    for version in versions:
        if version.chat_id_sender in context.accounts and chat_number(version.chat_id):
            return version
    return None


def _by_name(versions: tuple[RoomState, ...], context: Context) -> ChatId:
    foreign: ChatId | None = None
    for version in versions:
        chat_id = context.convention.chat_id_of(version.name) if version.name else None
        if chat_id is None:
            continue
        proof = (version.name_event,)
        if version.name_sender in context.accounts:
            return ChatId(
                chat_id, Evidence(Rung.ROOM_NAME, proof), claims=((chat_id, Rung.ROOM_NAME),)
            )
        foreign = foreign or ChatId(
            chat_id, Evidence(Rung.FOREIGN_NAME, proof), Code.CHAT_ID_INFERRED, _FOREIGN_NAME
        )
    return foreign or ChatId(None, NO_EVIDENCE, Code.CHAT_ID_UNKNOWN, _UNKNOWN)


def find_told_ids(room: RoomState, context: Context) -> list[str]:
    """The ids that the room itself tells, by event and by name, whatever the rows say about it."""
    event = _state_event((room,), context)
    told = (event.chat_id if event else None, _by_name((room,), context).chat_id)
    return [chat_id for chat_id in told if chat_id]


def _pick(
    picked: Mapping[str, str],
    found: Mapping[str, ChatId],
    standing: Mapping[str, ChatId],
    chats: Mapping[str, tuple[RoomState, ...]],
    owner: str,
    context: Context,
) -> dict[str, ChatId]:
    """The answers for rooms that a human picked an id for, each as if it were the only pick."""
    room_of = {version.room_id: room for room in chats for version in chats[room]}
    answers = {}
    for room_id, chosen in picked.items():
        row = context.naming.local.chats.get((owner, chosen))
        at = room_of.get(row.surface_ref, row.surface_ref) if row else ""
        answers[room_id] = _choose(room_id, chosen, standing, at, found[room_id])
    return answers


def _choose(
    room_id: str, chosen: str, standing: Mapping[str, ChatId], at: str, own: ChatId
) -> ChatId:
    """A human's pick counts unless it is no chat id, or is taken; a doubted name takes none.

    An id in dispute may be given to one of those who claim it. `standing` is how it is without picks,
    `at` where the id's chat row points, `own` what was found for the room before its twins were asked.
    """
    if not chat_number(chosen):
        return _refuse(own, "the chosen chat id is not one: it must be C and a number, such as C4")
    others = {
        other: rung
        for other, answer in standing.items()
        if not _is_proposal(answer)
        for claimed, rung in reversed(answer.claims)  # the strongest comes last, and stays
        if claimed == chosen and other != room_id
    }
    is_open = at in standing and not standing[at].certain
    if any(claimed == chosen for claimed, _ in own.claims):
        others = {o: rung for o, rung in others.items() if standing[o].certain and not is_open}
    elif is_open and at != room_id:
        others.setdefault(at, Rung.CHAT_ROW)
    if others:
        return _refuse(own, _taken(chosen, *min(others.items())))
    # Until that is written, the room goes on claiming what it did: nobody else gets it by this pick.
    claims = ((chosen, Rung.CHOICE), *own.claims)
    return ChatId(chosen, Evidence(Rung.CHOICE), claims=claims)


def _is_proposal(answer: ChatId) -> bool:
    return answer.code is Code.CHAT_ID_INFERRED


def _refuse(own: ChatId, why: str) -> ChatId:
    """What was found stands, but nobody gets it by a yes that was meant for another id."""
    return msgspec.structs.replace(
        own,
        code=own.code or Code.CHAT_ID_UNKNOWN,
        cause=f"{why}. {own.cause}".strip(),
        free=False,
    )


def _settle_duplicates(
    found: dict[str, ChatId], owner: str, seen: Mapping[str, Sequence[RoomState]]
) -> None:
    """One claimant by a strictly higher rung keeps the id; otherwise nobody does (rules 3)."""
    claimed = [chat_id for answer in found.values() for chat_id, _ in answer.claims]
    if len(set(claimed)) == len(claimed):
        return  # nobody claims what another one claims
    claimants: dict[str, list[str]] = defaultdict(list)
    best: dict[tuple[str, str], int] = {}
    for room_id, answer in found.items():
        for chat_id, rung in answer.claims:
            claimants[chat_id].append(room_id)
            known = best.get((chat_id, room_id), len(RANK))
            best[chat_id, room_id] = min(known, RANK[rung])
    for chat_id, several in claimants.items():
        rooms = set(several)
        if len(rooms) < 2:
            continue
        ranked = sorted((best[chat_id, room_id], room_id) for room_id in rooms)
        alone = ranked[0][1] if ranked[0][0] < ranked[1][0] else None
        there = Presence(owner, {room_id: seen.get(room_id, ()) for room_id in rooms})
        for _, room_id in ranked:
            answer = found[room_id]
            if room_id == alone or answer.chat_id != chat_id:
                continue
            others = (other for _, other in ranked if other != room_id)
            rivals = tuple(itertools.islice(others, RIVALS))
            rival = rivals[0]
            cause = _DUPLICATE.format(len(rooms), chat_id, there.seen_from(room_id))
            if found[rival].evidence.rung is Rung.CHOICE:
                words = _GIVEN if found[rival].chat_id == chat_id else _GIVEN_UP
                cause = words.format(chat_id, quote_odd(rival))
            found[room_id] = msgspec.structs.replace(
                answer,
                code=Code.DUPLICATE_CHAT_ID,
                cause=f"{answer.cause} {cause}".strip(),
                rivals=rivals,
            )


def _doubt_names(found: dict[str, ChatId], chats: Mapping[str, Sequence[RoomState]]) -> None:
    """An id that only a name tells is a proposal where ids don't rise with the age of their rooms.

    A bot may rename rooms on a user's wish, and then the room that was C2 is called "Чат 1".
    """
    if all(answer.evidence.rung is not Rung.ROOM_NAME for answer in found.values()):
        return
    aged = sorted(
        (made, number, room_id)
        for room_id, versions in chats.items()
        if (answer := found[room_id]).certain
        and answer.evidence.rung is not Rung.CHOICE  # a pick says nothing of when
        and (made := _made(versions[-1])) is not None
        and (number := chat_number(answer.chat_id))
    )
    for room_id in _out_of_order(aged):
        if found[room_id].evidence.rung is Rung.ROOM_NAME:
            found[room_id] = msgspec.structs.replace(
                found[room_id], code=Code.CHAT_ID_INFERRED, cause=_OUT_OF_ORDER
            )


def _out_of_order(aged: Sequence[tuple[int, int, str]]) -> set[str]:
    """The rooms beside which an older one has a higher number, or a younger one a lower.

    `aged` holds (creation time, number, room id), sorted: rooms of one instant are in order by that.
    """
    found: set[str] = set()
    for rooms, sign in ((aged, 1), (aged[::-1], -1)):
        passed = -math.inf
        for _, number, room_id in rooms:
            if sign * number < passed:
                found.add(room_id)
            passed = max(passed, sign * number)
    return found


def _propose_by_creation(
    found: dict[str, ChatId], chats: Mapping[str, Sequence[RoomState]]
) -> None:
    """Fill a gap that fits exactly, if the certain ids rise with the age of their rooms."""
    aged = [(_made(versions[-1]), room_id) for room_id, versions in chats.items()]
    ages = {age for age, _ in aged}
    if None in ages or len(ages) < len(aged):
        return  # two rooms of the same instant have no order
    numbers = [
        (room_id, chat_number(found[room_id].chat_id) if found[room_id].certain else None)
        for _, room_id in sorted(aged)
    ]
    certain = [number for _, number in numbers if number is not None]
    if any(later <= earlier for earlier, later in itertools.pairwise(certain)):
        return
    before, run = 0, list[str]()
    for room_id, number in numbers:
        if number is None:
            run.append(room_id)
            continue
        if number - before - 1 == len(run):
            _propose(run, before, found)
        before, run = number, []


def _made(oldest: RoomState) -> int | None:
    """When the chat was begun; unknown if the room goes on from one that isn't known."""
    return oldest.created if oldest.predecessor is None else None


def _propose(run: list[str], before: int, found: dict[str, ChatId]) -> None:
    if any(
        found[room_id].code is Code.DUPLICATE_CHAT_ID or found[room_id].claims for room_id in run
    ):
        return  # a disputed room may turn out to hold any of the numbers
    for number, room_id in enumerate(run, before + 1):
        if found[room_id].code is Code.CHAT_ID_UNKNOWN and found[room_id].free:
            found[room_id] = ChatId(
                f"C{number}", Evidence(Rung.CREATION_ORDER), Code.CHAT_ID_INFERRED, _BY_CREATION
            )


def _mark_taken(found: dict[str, ChatId]) -> None:
    """A proposed id that another room may hold can't be had by a mere yes."""
    proposed = [answer.chat_id for answer in found.values() if _is_proposal(answer)]
    if not proposed:
        return
    claimed = Counter(id_ for answer in found.values() for id_ in {i for i, _ in answer.claims})
    for room_id, answer in found.items():
        own = any(claim == answer.chat_id for claim, _ in answer.claims)
        if _is_proposal(answer) and (
            claimed[answer.chat_id or ""] > own or proposed.count(answer.chat_id) > 1
        ):
            found[room_id] = msgspec.structs.replace(answer, free=False)


def _disagree(claims: Sequence[tuple[str, Rung]]) -> str:
    said = ", ".join(f"{rung.value.replace('_', ' ')} says {chat_id}" for chat_id, rung in claims)
    return f"the evidence disagrees about which chat this room is: {said}"


def _taken(chat_id: str, room_id: str, rung: Rung) -> str:
    return (
        f"the chosen chat id {chat_id} is taken: another room, {quote_odd(room_id)}, claims it by its "
        f"{rung.value.replace('_', ' ')}; pick another, or first give that room another one and apply that"
    )


_DUPLICATE = (
    "{} rooms claim to be {}. {}. A reset that made new rooms beside the old ones leaves such twins"
)
_GIVEN = "chat id {} was chosen for another room, {}; pick another for one of the two"
_GIVEN_UP = (
    "another room, {1}, claims to be {0} until the id that was picked for it is written; apply that "
    "first, or pick {0} for this room as well"
)
_FOREIGN_NAME = (
    "only the room's name tells the number, and somebody else than the bot wrote that name"
)
_OUT_OF_ORDER = (
    "only the room's name tells the number, and an older room of the user has a higher one, or a younger "
    "a lower: a name may have been changed on a user's wish"
)
_BY_CREATION = (
    "the order in which the user's rooms were made leaves exactly this number for the room"
)
_UNKNOWN = "no row, no event and no name says which chat this room is; pick a free chat id"
