"""One id, one room: who keeps an id that several rooms claim, and why the others don't. Pure.

The strictly strongest rung keeps it, else nobody does. Never by the order in which they come.
"""

from collections.abc import Iterable, Mapping

import msgspec

from toolkit.model import Code, RemoteState, Rung
from toolkit.planning.links.claims import Answer, Claim
from toolkit.planning.links.rows import Id, LinkState
from toolkit.quotes import quote_odd
from toolkit.records import encode_list


class Block(msgspec.Struct, frozen=True):
    """Why nothing is written for a room before a person has looked; `rivals` claim the id as well.

    `holder` is the one of them that the id's row names and the account is in: no pick takes the row away.
    """

    code: Code
    cause: str
    rivals: tuple[str, ...] = ()
    holder: str = ""


class Verdict(msgspec.Struct, frozen=True):
    """The id that a room is taken for, and what stands against it."""

    claim: Claim
    block: Block | None = None


def settle(
    answers: Mapping[str, Answer], remote: RemoteState, links: LinkState
) -> dict[str, Verdict]:
    """Judge each room that claims an id; one that isn't in there has nothing that tells it."""
    claimants: dict[Id, list[Claim]] = {}
    for answer in answers.values():
        for claim in answer.claims:
            claimants.setdefault(claim.id, []).append(claim)
    found: dict[str, Verdict] = {}
    for room_id, answer in answers.items():
        if answer.disputed:
            cause = _DISPUTED.format(_say_claims(answer.disputed))
            found[room_id] = Verdict(answer.disputed[0], Block(Code.EVIDENCE_DISAGREES, cause))
        elif answer.claim is not None and (
            verdict := _judge(answer.claim, claimants[answer.claim.id], remote, links)
        ):
            found[room_id] = verdict
    return found


def told(id: Id) -> str:
    """An id as people see it: a composite one as a JSON list.

    >>> told(("7",)), told(("a:b", ""))
    ('7', '["a:b",""]')
    """
    return id[0] if len(id) == 1 else encode_list(id)


def quoted(id: Id) -> str:
    """An id inside a sentence, so that a reader can tell where it ends."""
    return quote_odd(id[0]) if len(id) == 1 else told(id)


def _judge(
    claim: Claim, claimants: Iterable[Claim], remote: RemoteState, links: LinkState
) -> Verdict | None:
    others = [other for other in claimants if other.room_id != claim.room_id]
    holder = _holder(claim, remote, links)
    if not claim.certain:
        lonely = links.key(claim.id) not in links.rows and not links.may_insert
        if lonely or holder or any(other.certain for other in others):
            return None  # a guess that nothing could be done about, or about an id that has a room
    if claim.id in links.repeated:
        many = len(links.repeated[claim.id])
        return Verdict(claim, Block(Code.DUPLICATE_ROW, _REPEATED.format(many)))
    rivals = [other for other in others if other.rank <= claim.rank]
    if holder:
        return Verdict(claim, _block_held(holder, rivals, remote))
    if rivals:
        rooms = tuple(sorted(rival.room_id for rival in rivals))
        return Verdict(claim, Block(Code.DUPLICATE_ID, _say_rivals(claim, rivals), rooms))
    if not claim.certain:
        return Verdict(claim, Block(Code.ID_INFERRED, _INFERRED))
    return Verdict(claim)


def _holder(claim: Claim, remote: RemoteState, links: LinkState) -> str:
    """The room that the id's row names, if the account is in it and it is none of the claimant's versions."""
    row = links.links.get(claim.id)
    if row is None or row.room is None or claim.own:
        return ""
    return row.room if remote.joined(row.room) else ""


def _block_held(holder: str, rivals: Iterable[Claim], remote: RemoteState) -> Block:
    if holder in remote.unreadable:
        return Block(Code.ROOM_UNREADABLE, _UNREADABLE.format(quote_odd(holder)))
    others = sorted({rival.room_id for rival in rivals} - {holder})
    cause = _HELD.format(quote_odd(holder))
    return Block(Code.DUPLICATE_ID, cause, (holder, *others), holder)


def _say_rivals(claim: Claim, rivals: Iterable[Claim]) -> str:
    best = min(rival.rank for rival in rivals)
    rooms = sorted({quote_odd(rival.room_id) for rival in rivals if rival.rank == best})
    if best < claim.rank:
        return _STRONGER.format(", ".join(rooms), rung_words(min(rivals, key=_rank)))
    return _ALIKE.format(", ".join(rooms))


def _rank(claim: Claim) -> tuple[int, str]:
    return claim.rank, claim.room_id


def rung_words(claim: Claim) -> str:
    """What says so, in words."""
    return _WORDS[claim.rung]


def _say_claims(claims: Iterable[Claim]) -> str:
    said: dict[str, set[str]] = {}
    for claim in claims:
        said.setdefault(quoted(claim.id), set()).add(rung_words(claim))
    return "; ".join(f"{id} by {' and '.join(sorted(by))}" for id, by in said.items())


_WORDS = {
    Rung.ROW: "a row",
    Rung.CHOICE: "a person's pick",
    Rung.STATE_EVENT: "the bot's state event",
    Rung.ROOM_NAME: "the room's name",
    Rung.ROOM_ALIAS: "the room's alias",
    Rung.CODE: "the bot's own code",
    Rung.SOLE_MEMBER: "its only other member",
}
_DISPUTED = "the room is {}: a row or an event was written for another room, or ids were changed"
_REPEATED = "{} rows have this id, so that none of them can be told to be the right one"
_HELD = (
    "its row names {}, which the account is in as well: two rooms were made for one id, or the row was "
    "pointed there on purpose"
)
_UNREADABLE = "its row names {}, which could not be read"
_STRONGER = "{} has the same id by {}, which is stronger: two rooms were made for one id"
_ALIKE = "{} claims the same id by as much: two rooms were made for one id"
_INFERRED = "only the room's one other member tells the id, and anybody may leave or come"
