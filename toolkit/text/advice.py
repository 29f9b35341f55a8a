"""What a finding says and what to do about a unit, in words for a bot's developer. Pure.

Decides nothing: the planner has said what is wrong and what may be written. Values from rooms and
rows stand in these texts as they are; whoever shows them makes them `visible`.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from toolkit.model import PROPOSALS, Choices, Code, Finding, Plan, RowWrite, Unit, UnitKind
from toolkit.quotes import quote_id, quote_odd
from toolkit.records import CHAT, LINK, ROOM, USER, Raw, decode_object, parse_key, split_link_key


class Speech(NamedTuple):
    """How a choice is said where the reader is."""

    owner: str
    some_owner: str
    chat_id: str
    some_chat_id: str
    space_id: str
    overwrite: str
    lower_counter: str
    former_account: str
    id: str
    some_id: str

    def of(self, unit: Unit) -> "Speech":
        """The same for this unit: a room of shape links has an id and is no chat."""
        return self._replace(chat_id=self.id, some_chat_id=self.some_id) if unit.row else self


TERMINAL = Speech(
    owner="--owner @user:server",
    some_owner="--owner",
    chat_id="--chat-id C…",
    some_chat_id="--chat-id",
    space_id="--space '!…'",
    overwrite="--overwrite",
    lower_counter="--lower-counters",
    former_account="--former-account @old:server",
    id="--id …",
    some_id="--id",
)
NOTEBOOK = Speech(
    owner='owner="@user:server"',
    some_owner="owner=",
    chat_id='chat_id="C…"',
    some_chat_id="chat_id=",
    space_id='space_id="!…"',
    overwrite="overwrite=True",
    lower_counter="lower_counter=True",
    former_account='Convention(former_accounts=["@old:server"])',
    id='id="…"',
    some_id="id=",
)

_CHOOSE = {
    Code.OWNER_AMBIGUOUS: "pick the owner with {0.owner}",
    Code.OWNER_UNKNOWN: "pick the owner with {0.owner}",
    Code.OWNER_LEFT: "pick another owner with {0.some_owner}",
    Code.OWNER_CHANGED: "pick another owner with {0.some_owner}",
    Code.CHAT_ID_UNKNOWN: "pick a chat id with {0.chat_id}",
    Code.CHAT_ID_INFERRED: "pick another id with {0.some_chat_id}",
    Code.EVIDENCE_DISAGREES: "pick the right id with {0.chat_id}",
    Code.DUPLICATE_CHAT_ID: "pick who gets which id with {0.chat_id}",
    Code.DUPLICATE_ID: "pick the room that gets the id with {0.some_chat_id}",
    Code.DUPLICATE_ROW: "mend the rows by hand: which of them is right can't be told here",
    Code.ID_INFERRED: "pick another id with {0.some_chat_id}",
    Code.MULTIPLE_SPACES: "pick the Space of the user's row with {0.space_id}",
    Code.UNREADABLE_ROW: "look at the row, then replace it with {0.overwrite}",
    Code.ROOM_UNREADABLE: "try again when the homeserver gives the room",
    Code.STALE_PLAN: "look again, it changed meanwhile",
    Code.COUNTER_TOO_HIGH: "lower it with {0.lower_counter} while the bot is stopped",
}
_HELD = (
    "if {room} is the right one, ignore this room or have the bot leave it; if this one is, have the bot leave "
    "{room}, or point the row at this room by hand (its column {field}), then look again; if it is of another "
    "id, pick that with {speech.some_chat_id}"
)
_NO_ROW_MADE = "make the row by hand, or have the mapping make it where it can (insert)"
_STALE = "else the row is stale, and yours to delete"
_NO_CHAT_BECAUSE = {
    "no_space": "join its Space, if that was left or upgraded; if another account made that, name it "
    "with {0.former_account}",
    "not_created_by_bot": "if the bot had another account when the room was made, name it with "
    "{0.former_account}",
    "replacement_not_joined": "join the room that replaced it",
}
_NO_CHAT_FOR_SOME_REASON = (
    "join the Space, if that was left or upgraded; if another account made the room, name it with "
    "{0.former_account}"
)
_AGREED = "its rows say already what is proposed, so there is nothing to write"
_WHICH_SPACE = "pick the Space that the room belongs to with {0.space_id}"
_encode = json.JSONEncoder(ensure_ascii=False).encode


def row_name(key: str) -> str:
    """A row by what it is, without its ids.

    >>> row_name("chat:@alice:example.org:C4")
    'chat row'
    >>> row_name("link:tickets:7")
    'row of tickets'
    """
    if key.startswith(LINK):
        return f"row of {split_link_key(key)[0]}"
    words = {CHAT: "chat row", ROOM: "room row", USER: "user row"}
    return words.get(parse_key(key).family, "row") if key else "user row"


def unit_name(unit: Unit) -> str:
    """Whose row or chat a unit is, as far as that is known; empty if it isn't."""
    if unit.kind is UnitKind.USER:
        own = unit.id == unit.owner or not unit.space_id
        return "user row" if own else f"user row of {_whom(unit)}"
    if unit.row:
        whose = f" of {quote_odd(unit.owner)}" if unit.owner else ""
        return f"{split_link_key(unit.row)[0]} {quote_id(unit.chat_id or '')}{whose}"
    if unit.chat_id:
        return f"{quote_odd(unit.chat_id)} of {_whom(unit)}"
    return f"a chat of {_whom(unit)}" if unit.owner else ""


def _whom(unit: Unit) -> str:
    return quote_odd(unit.owner) if unit.owner else "nobody yet"


def what(finding: Finding) -> str:
    """What is wrong, in one phrase.

    >>> what(Finding(unit="!r", code=Code.MISSING_ROW, key="matrix_room:!r", cause=""))
    'room row is missing'
    """
    row = row_name(finding.key)
    if finding.code == Code.NOT_A_CHAT:
        reason = f" ({finding.remote})" if finding.remote else ""
        return f"{row} calls it a chat, which it isn't{reason}"
    if finding.code is Code.MISSING_ROW:
        return f"{row} is missing"
    if finding.code is Code.UNREADABLE_ROW:
        return f"{row} can't be read" + ("" if finding.local is None else f": {finding.local}")
    if finding.code is Code.DUPLICATE_ID and finding.field:
        return f"{row}: {finding.field} is {_value(finding.local)}, which is joined as well"
    if finding.field:
        return (
            f"{row}: {finding.field} is {_value(finding.local)}, should be {_value(finding.remote)}"
        )
    words = finding.code.value.replace("_", " ")
    return f"{words} (proposed: {quote_id(finding.proposal)})" if finding.proposal else words


def action(unit: Unit, speech: Speech = TERMINAL) -> str:
    """What happens next, or what a person has to do first."""
    speech = speech.of(unit)
    told = [_AGREED] if unit.rows_agree else []
    told += [
        _advise(finding, unit, speech)
        for finding in unit.findings
        if (finding.code in _CHOOSE or finding.code == Code.NOT_A_CHAT) and _open(finding, unit)
    ]
    if unit.candidates:
        quote = quote_id if unit.row else quote_odd
        told.append(f"candidates: {', '.join(map(quote, unit.candidates))}")
    words = "; ".join(dict.fromkeys(told)) if told else ""
    if not unit.change:
        return words or (_NO_ROW_MADE if unit.row else "nothing can be written yet")
    if not unit.needs_human:
        return f"apply would {_verbs(unit)}" + (f"; {words}" if words else "")
    return f"{words or 'agree to what you picked'} (apply would then {_verbs(unit)})"


def loose_action(finding: Finding, speech: Speech = TERMINAL) -> str:
    """What a person has to do about a row that belongs to no unit."""
    if finding.code == Code.NOT_A_CHAT:
        return _say_no_chat(finding).format(speech)
    about = "room" if finding.key.startswith(LINK) else "chat"
    return f"look at the row, then mend or delete it by hand: it is about no {about} here"


def changed_fields(write: RowWrite) -> list[tuple[str, str, str]]:
    """A write field by field: name, before and after; an unreadable row is one field without name."""
    before, after = _fields(write.before), _fields(write.after)
    if (before is None and write.before is not None) or (after is None and write.after is not None):
        return [("", _raw(write.before), _raw(write.after))]
    old, new = before or {}, after or {}
    if not old:
        return [(field, "", _encode(value)) for field, value in new.items()]
    return [
        (field, _json(old, field), _json(new, field))
        for field in dict.fromkeys([*old, *new])
        if field not in old or field not in new or old[field] != new[field]
    ]


def deed(write: RowWrite) -> str:
    """What happens to which row."""
    return f"{verb(write)} the {row_name(write.key)}"


def verb(write: RowWrite) -> str:
    """What a write does to its row."""
    if write.before is None:
        return "insert"
    if write.after is None:
        return "delete"
    return "change" if _fields(write.before) is not None else "overwrite"


def unsettled(plan: Plan) -> list[Unit]:
    """Units that a person has to decide about."""
    return [unit for unit in plan.units if unit.needs_human or not unit.change]


def settled(plan: Plan) -> list[Unit]:
    """Units that may be written as they are."""
    return [unit for unit in plan.units if unit.certain]


def _open(finding: Finding, unit: Unit) -> bool:
    """Whether a person can still do something about this finding; a counter may be lowered already."""
    if finding.code is not Code.COUNTER_TOO_HIGH:
        return True
    writes = unit.writes
    return all(
        (_fields(write.after) or {}).get(finding.field) != finding.remote for write in writes
    )


def _advise(finding: Finding, unit: Unit, speech: Speech) -> str:
    words = _say_no_chat(finding) if finding.code == Code.NOT_A_CHAT else _CHOOSE[finding.code]
    if finding.code in PROPOSALS:
        words = _instead_of(finding, unit) + words
    if finding.code is Code.DUPLICATE_ID and finding.field:
        return _say_held(finding, speech)
    if finding.code is Code.OWNER_AMBIGUOUS and any(c.startswith("!") for c in unit.candidates):
        words = _WHICH_SPACE
    return words.format(speech)


def _say_held(finding: Finding, speech: Speech) -> str:
    """What helps where the row of a room's id names another room, which the account is in."""
    return _HELD.format(
        room=quote_odd(finding.local), field=quote_odd(finding.field), speech=speech
    )


def _instead_of(finding: Finding, unit: Unit) -> str:
    """What else one may do about a proposal; agreeing is nothing where nothing comes of it."""
    if unit.change or not {f.code for f in unit.conflicts} <= PROPOSALS:
        return "agree, or "
    if not unit.rows_agree:
        return ""
    if finding.code is Code.OWNER_CHANGED:
        return "mend or delete the row that says otherwise, or "
    return "let that user in, or " if finding.code is Code.OWNER_LEFT else "or "


def _say_no_chat(finding: Finding) -> str:
    """By the reason why the room is skipped, which a finding of a plan read from a file may lack."""
    return f"{_NO_CHAT_BECAUSE.get(finding.remote or '', _NO_CHAT_FOR_SOME_REASON)}; {_STALE}"


def _verbs(unit: Unit) -> str:
    writes = unit.writes
    return " and ".join(map(deed, writes))


def _fields(raw: Raw) -> dict[str, Any] | None:
    if raw is None:
        return None
    try:
        return decode_object(raw)
    except ValueError:
        return None


def _raw(raw: Raw) -> str:
    if raw is None:
        return ""
    if not isinstance(raw, bytes):
        return str(raw)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return f"{len(raw)} bytes {raw[:40].hex()}"


def _json(row: Mapping[str, Any], field: str) -> str:
    return _encode(row[field]) if field in row else ""


def _value(value: Any) -> str:
    """A value that the row should have had, or has; None says that the field isn't there."""
    return "absent" if value is None else _encode(value)


def why_no_change(unit: Unit, speech: Speech = TERMINAL) -> str:
    """Why there is nothing to agree to yet, and what to do first."""
    causes = [finding.cause for finding in unit.conflicts or unit.findings]
    why = "; ".join(dict.fromkeys(cause.rstrip(".") for cause in causes))
    return f"{why}. Next: {action(unit, speech)}"


def why_idle(unit: Unit, picked: Choices, speech: Speech = TERMINAL) -> str:
    """Why a pick says nothing of this unit, so that somebody meant another one; empty if all do."""
    codes = {finding.code for finding in unit.findings}
    user_row = unit.kind is UnitKind.USER
    idle = [
        (picked.chat_id is not None and user_row, speech.some_chat_id, "it is a user row"),
        (picked.lower_counter and not user_row, speech.lower_counter, "it is a room"),
        (
            picked.overwrite and Code.UNREADABLE_ROW not in codes,
            speech.overwrite,
            "all its rows can be read",
        ),
    ]
    told = [f"{option} says nothing of it: {why}" for meant, option, why in idle if meant]
    return "; ".join(told)
