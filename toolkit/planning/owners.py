"""Whose Space it is: the ladder of rules 2.6. Pure.

The owner belongs to the Space and holds for all its chats. What makes an answer a proposal is said in
`owner_doubts.py`.
"""

from collections.abc import Callable, Collection

from toolkit.model import Code, Evidence, RoomState, Rung
from toolkit.planning.memberships import memberships
from toolkit.planning.owner_case import Case, Owner
from toolkit.planning.owner_doubts import doubt, why_unknown
from toolkit.planning.row_index import Naming, ids


def find_owner(
    space: tuple[RoomState, ...],
    chats: Collection[tuple[RoomState, ...]],
    naming: Naming,
    nobody: frozenset[str],
    chosen: str | None = None,
) -> Owner:
    """Climb down the ladder for one Space; `nobody` are the accounts that never own one."""
    space_ids = ids(space)
    named = naming.owners(space_ids, [v.room_id for chat in chats for v in chat])
    case = Case(memberships(space, nobody), chats, named, space_ids, naming, nobody)
    answer = _climb(case)
    return _settle(answer, chosen, case) if chosen else doubt(answer, case)


def _climb(case: Case) -> Owner:
    pool: set[str] = set()
    for rung, candidates_of in _RUNGS:
        found = candidates_of(case)
        events = found if isinstance(found, dict) else {}
        candidates = set(found) & pool if pool else set(found)
        if len(candidates) == 1:
            user = candidates.pop()
            proof = (events[user],) if user in events else ()
            return Owner(user, evidence=Evidence(rung, proof), candidates=(user,))
        pool = candidates or pool
    if pool:
        return Owner(None, Code.OWNER_AMBIGUOUS, _AMBIGUOUS, candidates=tuple(sorted(pool)))
    offered = tuple(sorted(case.seen() | case.named))
    return Owner(None, Code.OWNER_UNKNOWN, why_unknown(case), candidates=offered)


def _space_members(case: Case) -> dict[str, str]:
    return case.space.present


def _chat_members(case: Case) -> dict[str, str]:
    banned = case.banned()
    found: dict[str, str] = {}
    for chat in case.in_chats():
        found |= {user: event for user, event in chat.present.items() if user not in banned}
    return found


def _user_row(case: Case) -> set[str]:
    named = {user for space in case.space_ids for user in case.naming.space_users.get(space, ())}
    return named & case.acquainted()


def _room_rows(case: Case) -> set[str]:
    local = case.naming.local.rooms
    rows = (local.get(v.room_id) for chat in case.chats for v in chat)
    named = {row.matrix_user_id for row in rows if row}
    return named & case.acquainted() if len(named) == 1 else set()


def _former_member(case: Case) -> set[str]:
    banned = case.banned()
    former = case.space.former() - banned
    if former:
        return former
    left_chats = {user for chat in case.in_chats() for user in chat.former()}
    return left_chats - banned - case.space.present.keys()  # who is in the Space hasn't left


_RUNGS: tuple[tuple[Rung, Callable[[Case], dict[str, str] | set[str]]], ...] = (
    (Rung.SPACE_MEMBERS, _space_members),
    (Rung.CHAT_MEMBERS, _chat_members),
    (Rung.USER_ROW, _user_row),
    (Rung.ROOM_ROWS, _room_rows),
    (Rung.FORMER_MEMBER, _former_member),
)


def _settle(answer: Owner, chosen: str, case: Case) -> Owner:
    """A human's word counts, if the user ever had to do with this Space."""
    if chosen in case.nobody or chosen not in case.seen() | case.named:
        return Owner(
            answer.user_id,
            Code.OWNER_AMBIGUOUS if answer.user_id else answer.code,
            f"the chosen owner was never a member of this Space or its chats. {answer.cause}".strip(),
            answer.evidence,
            answer.candidates,
        )
    return Owner(chosen, evidence=Evidence(Rung.CHOICE))


_AMBIGUOUS = (
    "several users could own this Space, and neither its members nor the local rows tell which: "
    "somebody was invited, or a helper account is missing in the convention"
)
