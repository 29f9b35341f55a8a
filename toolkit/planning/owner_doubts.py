"""Why an answer of the ladder is only a proposal, or there is none (rules 2.6). Pure."""

from toolkit.model import Code, Rung
from toolkit.planning.memberships import PRESENT, Memberships
from toolkit.planning.owner_case import Case, Owner
from toolkit.quotes import quote_odd

_BY_MEMBERS = (Rung.SPACE_MEMBERS, Rung.CHAT_MEMBERS)


def doubt(answer: Owner, case: Case) -> Owner:
    """An answer that rows contradict, or that a guest could have brought about, is only proposed."""
    user = answer.user_id
    if user is None:
        return answer
    rung = answer.evidence.rung
    rivals = sorted(case.named - {user})
    if rivals:
        code, cause = Code.OWNER_CHANGED, _contradicted(rung, rivals, case)
    elif (asks := _only_asks(user, case.everywhere())) is not None:
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


def _contradicted(rung: Rung, rivals: list[str], case: Case) -> str:
    """Which rows name somebody else, and what is seen of those."""
    rows, banned, places = case.rows_by_user(), case.banned(), case.everywhere()
    said = []
    for user in rivals:
        told = f"{quote_odd(rows[user][0])} names" if len(rows[user]) == 1 else _name(rows[user])
        stands = "is banned" if user in banned else _stands(user, places)
        said.append(f"{told} {quote_odd(user)}, who {stands}")
    return _CHANGED_BY_ROW.format(_TOLD_BY.get(rung, "the members do"), "; ".join(said))


def _stands(user: str, places: list[Memberships]) -> str:
    """How a user who isn't banned stands to these rooms."""
    if (asks := _only_asks(user, places)) is not None:
        return f"isn't a member: their membership is '{asks}'"
    found = {place.latest[user] for place in places if user in place.latest}
    if not found:
        return "never was a member"
    return "is a member too" if found.intersection(PRESENT) else "has left"


def _others_before(rung: Rung, case: Case) -> set[str]:
    """Who else may have owned the Space before the members that were asked were all there is.

    A ban in the Space doesn't count: whoever banned the owner is still there, or has left and counts.
    Where the chats must pick among several, it does: the one who banned may be in the chats alone,
    and then isn't among those who are picked from.
    """
    if rung is not Rung.CHAT_MEMBERS:
        return case.space.gone()
    return case.banned().union(*(room.gone() for room in case.everywhere()))


def _only_asks(user: str, places: list[Memberships]) -> str | None:
    """What a user is who never was a member as far as this can be told: one who knocks, mostly."""
    found = {place.latest[user] for place in places if user in place.latest}
    if found & {*PRESENT, "leave"} or not found:
        return None
    return "knock" if "knock" in found else min(found)


def why_unknown(case: Case) -> str:
    """What was seen of those who could own the Space, if it weren't for what they are."""
    rows, banned = case.rows_by_user(), case.banned()
    said = []
    for user in sorted({*rows, *banned}):
        whom = quote_odd(user)
        if user in rows:
            whom = f"{whom}, whom {_name(rows[user])},"
        said.append(f"{whom} is banned" if user in banned else f"{whom} never was a member")
    if not said:
        return _UNKNOWN
    lift = _UNTIL_LIFTED if banned else ""
    return f"nobody is or was in this Space or its chats who could own it: {'; '.join(said)}{lift}"


def _name(rows: list[str]) -> str:
    return "1 local row names" if len(rows) == 1 else f"{len(rows)} local rows name"


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
    "a local row names another owner than {0}: a room was handed over, an account was changed, or the row "
    "is wrong; {1}"
)
_TOLD_BY = {
    Rung.USER_ROW: "other rows do",
    Rung.ROOM_ROWS: "other rows do",
    Rung.FORMER_MEMBER: "those do who have left",
}
_CHANGED_BY_LEAVING = (
    "the member found here is not the only one that this Space had, and no local row vouches for "
    "them: the owner may have invited somebody and left"
)
