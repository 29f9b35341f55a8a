"""Whose Space it is: the ladder of rules 2.6. Pure.

The owner belongs to the Space and holds for all its chats. Members are read from raw state, never
from lazily loaded lists, which hide invited users.
"""

from collections import Counter
from collections.abc import Callable, Collection

import msgspec

from toolkit.model import NO_EVIDENCE, Code, Evidence, RoomState, Rung
from toolkit.planning.row_index import Naming, ids
from toolkit.quotes import quote_odd

_PRESENT = ("join", "invite")
_BY_MEMBERS = (Rung.SPACE_MEMBERS, Rung.CHAT_MEMBERS)


class Owner(msgspec.Struct, frozen=True, gc=False):
    """The answer for one Space: certain if `code` is None, else a conflict with perhaps a proposal.

    `vouched`: a local row names the same user.
    """

    user_id: str | None
    code: Code | None = None
    cause: str = ""
    evidence: Evidence = NO_EVIDENCE
    candidates: tuple[str, ...] = ()
    vouched: bool = False

    @property
    def certain(self) -> bool:
        return self.code is None

    @property
    def solid(self) -> bool:
        """Whether it may speak for the user: members alone could name anybody, rows are the bot's."""
        return self.certain or self.vouched


class Memberships(msgspec.Struct, frozen=True, gc=False):
    """Who is in a room, over its versions: `present` as of the newest version that has anybody."""

    present: dict[str, str]
    latest: dict[str, str]

    def having(self, *memberships: str) -> set[str]:
        return {user for user, state in self.latest.items() if state in memberships}

    def former(self) -> set[str]:
        """Who left, declined, knocks, or whatever else a server may call not being in a room."""
        return self.latest.keys() - self.having(*_PRESENT, "ban")

    def gone(self) -> set[str]:
        """Former members, and who stayed behind in an older version that others went on from."""
        return self.former() | (self.having(*_PRESENT) - set(self.present))


class _Case(msgspec.Struct, frozen=True, gc=False):
    """One Space with its chats, and the rows that name an owner for them."""

    space: Memberships
    chats: Collection[tuple[RoomState, ...]]
    named: set[str]
    space_ids: tuple[str, ...]
    naming: Naming
    nobody: frozenset[str]

    def in_chats(self) -> list[Memberships]:
        return [memberships(chat, self.nobody) for chat in self.chats]

    def everywhere(self) -> list[Memberships]:
        return [self.space, *self.in_chats()]

    def seen(self) -> set[str]:
        """Everybody with any membership, banned ones too."""
        return {user for place in self.everywhere() for user in place.latest}

    def rows_naming(self) -> Counter[str]:
        """How many local rows name each user."""
        rooms = [version.room_id for chat in self.chats for version in chat]
        return Counter(user for _, user in self.naming.owner_keys(self.space_ids, rooms))


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
    case = _Case(memberships(space, nobody), chats, named, space_ids, naming, nobody)
    answer = _climb(case)
    return _settle(answer, chosen, case) if chosen else _doubt(answer, case)


def memberships(versions: tuple[RoomState, ...], nobody: frozenset[str]) -> Memberships:
    """The membership of every candidate; a newer version outranks an older one."""
    present: dict[str, str] = {}
    latest: dict[str, str] = {}
    for version in versions:
        answered = bool(present)
        for member in version.members:
            user = member.user_id
            if user in nobody or user in latest:
                continue
            latest[user] = member.membership
            if not answered and member.membership in _PRESENT:
                present[user] = member.event_id
    return Memberships(present, latest)


def _climb(case: _Case) -> Owner:
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
    return Owner(None, Code.OWNER_UNKNOWN, _why_unknown(case), candidates=offered)


def _space_members(case: _Case) -> dict[str, str]:
    return case.space.present


def _chat_members(case: _Case) -> dict[str, str]:
    banned = _banned(case)
    found: dict[str, str] = {}
    for chat in case.in_chats():
        found |= {user: event for user, event in chat.present.items() if user not in banned}
    return found


def _user_row(case: _Case) -> set[str]:
    named = {user for space in case.space_ids for user in case.naming.space_users.get(space, ())}
    return named & _acquainted(case)


def _room_rows(case: _Case) -> set[str]:
    local = case.naming.local.rooms
    rows = (local.get(v.room_id) for chat in case.chats for v in chat)
    named = {row.matrix_user_id for row in rows if row}
    return named & _acquainted(case) if len(named) == 1 else set()


def _former_member(case: _Case) -> set[str]:
    banned = _banned(case)
    former = case.space.former() - banned
    if former:
        return former
    left_chats = {user for chat in case.in_chats() for user in chat.former()}
    return left_chats - banned - case.space.present.keys()  # who is in the Space hasn't left


_RUNGS: tuple[tuple[Rung, Callable[[_Case], dict[str, str] | set[str]]], ...] = (
    (Rung.SPACE_MEMBERS, _space_members),
    (Rung.CHAT_MEMBERS, _chat_members),
    (Rung.USER_ROW, _user_row),
    (Rung.ROOM_ROWS, _room_rows),
    (Rung.FORMER_MEMBER, _former_member),
)


def _banned(case: _Case) -> set[str]:
    return case.space.having("ban").union(*(chat.having("ban") for chat in case.in_chats()))


def _acquainted(case: _Case) -> set[str]:
    """Users that are or were members of the Space or its chats, and aren't banned."""
    return case.seen() - _banned(case)


def _only_asks(user: str, case: _Case) -> str | None:
    """What a user is who never was a member as far as this can be told: one who knocks, mostly."""
    found = {place.latest[user] for place in case.everywhere() if user in place.latest}
    if found & {*_PRESENT, "leave"} or not found:
        return None
    return "knock" if "knock" in found else min(found)


def _why_unknown(case: _Case) -> str:
    """What was seen of those who could own the Space, if it weren't for what they are."""
    rows, banned = case.rows_naming(), _banned(case)
    said = []
    for user in sorted({*rows, *banned}):
        whom = quote_odd(user)
        if rows[user]:
            whom = f"{whom}, whom {_naming(rows[user])},"
        said.append(f"{whom} is banned" if user in banned else f"{whom} never was a member")
    if not said:
        return _UNKNOWN
    lift = _UNTIL_LIFTED if banned else ""
    return f"nobody is or was in this Space or its chats who could own it: {'; '.join(said)}{lift}"


def _naming(rows: int) -> str:
    return "1 local row names" if rows == 1 else f"{rows} local rows name"


def _doubt(answer: Owner, case: _Case) -> Owner:
    """An answer that rows contradict, or that a guest could have brought about, is only proposed."""
    user = answer.user_id
    if user is None:
        return answer
    rung = answer.evidence.rung
    rivals = sorted(case.named - {user})
    if rivals:
        code, cause = Code.OWNER_CHANGED, _CHANGED_BY_ROW
    elif asks := _only_asks(user, case):
        code, cause = Code.OWNER_LEFT, _ASKS.format(quote_odd(user), asks)
    elif rung is Rung.FORMER_MEMBER:
        code, cause = Code.OWNER_LEFT, _LEFT
    elif rung in _BY_MEMBERS and not case.named and (former := _others_before(rung, case) - {user}):
        code, cause = Code.OWNER_CHANGED, _CHANGED_BY_LEAVING
        rivals = sorted(former)
    else:
        return answer
    vouched = user in case.named
    return Owner(user, code, cause, answer.evidence, (user, *rivals), vouched)


def _others_before(rung: Rung, case: _Case) -> set[str]:
    """Who else may have owned the Space before the members that were asked were all there is.

    A ban in the Space doesn't count: whoever banned the owner is still there, or has left and counts.
    Where the chats must pick among several, it does: the one who banned may be in the chats alone,
    and then isn't among those who are picked from.
    """
    if rung is not Rung.CHAT_MEMBERS:
        return case.space.gone()
    return _banned(case).union(*(room.gone() for room in case.everywhere()))


def _settle(answer: Owner, chosen: str, case: _Case) -> Owner:
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
_UNKNOWN = (
    "nobody but the bot is or was in this Space or its chats, and no local row names its user"
)
_UNTIL_LIFTED = "; as long as a ban stands, this stays open whatever the rows say"
_ASKS = (
    "{0} isn't in this Space or its chats, and nothing shows that they ever were: their membership is "
    "'{1}'"
)
_LEFT = (
    "the only user that this Space ever had has left it: the rows can come back if the chats "
    "shall still be theirs"
)
_CHANGED_BY_ROW = (
    "a local row names another owner than the members do: a room was handed over, an account was "
    "changed, or the row is wrong"
)
_CHANGED_BY_LEAVING = (
    "the member found here is not the only one that this Space had, and no local row vouches for "
    "them: the owner may have invited somebody and left"
)
