"""A proposal as `matrix-drift.toml`, each line with what it rests on. Pure.

What a database or a homeserver called things stands in comments as it may safely be seen: none ends its line.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from toolkit.fitting.chats import KeyValue
from toolkit.fitting.clues import Tell
from toolkit.fitting.columns import is_sayable
from toolkit.fitting.proposal import Proposal
from toolkit.fitting.toml import inline, key
from toolkit.layout import TableFacts
from toolkit.text.visible import visible


def settings_page(settings: Mapping[str, Any], remarks: Mapping[str, str]) -> list[str]:
    """The lines above all tables: where both sides are; `remarks` are what has to be known of some."""
    lines = [_HEAD]
    for name in ("homeserver", "database", "former_accounts", "helper_accounts"):
        value = settings.get(name)
        if value and all(map(is_sayable, [value] if isinstance(value, str) else value)):
            plain = value if isinstance(value, str) else list(value)
            lines += _entries({name: plain}, remarks)
        elif value or name == "homeserver":
            lines.append(f'# {name} = ""  # {_NO_UTF8 if value else _NO_ADDRESS}')
    return lines


def chats_page(found: KeyValue) -> list[str]:
    """The lines for a key-value table."""
    why = (
        f"the toolkit's own shape: {found.users:,} user rows, {found.rooms:,} room rows and "
        f"{found.chats:,} chat rows were read"
    )
    return [
        f"# {why}",
        *(f"{name} = {inline(value)}" for name, value in found.settings.items()),
    ]


def links_page(proposal: Proposal, facts: TableFacts, *, looked: bool) -> list[str]:
    """The tables of a mapping of links. `looked` is whether the rooms were read."""
    lines = ["", "[shape]", *_entries(proposal.shape, _shape_reasons(proposal, looked))]
    if proposal.makers.pattern:
        lines.append(_STOPPED)
    lines += ["", "[rows.link]"]
    lines += _entries(proposal.rows, _rows_reasons(proposal, facts, looked))
    if proposal.owner and not proposal.members:
        lines += ["# its users were not seen in the rooms; if they own them:"]
        lines += [f"# owner = {inline(proposal.owner)}"]
    for tell in proposal.tells:
        lines += ["", "[[evidence]]", f"# {_strength(tell, proposal)}", *_entries(tell.clue, {})]
    if not proposal.tells:
        lines += ["", f"# {_NOTHING if looked else _NOT_LOOKED}", *_EXAMPLE]
    return lines


def _entries(values: Mapping[str, Any], reasons: Mapping[str, str]) -> Iterable[str]:
    for name, value in values.items():
        why = f"  # {visible(reasons[name], 300)}" if reasons.get(name) else ""
        yield f"{key(name)} = {inline(value)}{why}"


def _shape_reasons(proposal: Proposal, looked: bool) -> dict[str, str]:
    makers = proposal.makers
    if not looked:
        return {"rooms": 'not looked at: who made the rooms; "bot" unless you say otherwise'}
    if makers.rooms == "bot-event":
        rooms = "others made linked rooms, and the bot marked them by the event below"
    elif makers.pattern:
        rooms = "others made linked rooms: make sure that all such accounts are the bot's own"
    elif makers.others:
        rooms = f"rooms made by {_some(makers.others)} don't count by this"
    else:
        rooms = f"it made all {proposal.witnesses:,} linked rooms"
    return {"rooms": rooms}


def _rows_reasons(proposal: Proposal, facts: TableFacts, looked: bool) -> dict[str, str]:
    one = proposal.candidate
    unique = "unique in the table" if one.is_key else "nothing in the table keeps it unique"
    named = f"{len(one.links):,} of the rows that were looked at link an id to a room of its own"
    if looked:
        named += f", {proposal.witnesses:,} of them to a joined one"
    if facts.why_no_write:
        named += f"; it can only be looked at: {facts.why_no_write}"
    insert = facts.why_no_insert and f"no row can be made: {facts.why_no_insert}"
    if isinstance(proposal.insert, dict):
        insert = "needed for a new row, and the same in all rows that were looked at"
    elif proposal.insert:
        insert = "a new row needs nothing else"
    elif proposal.untold:
        insert = f"nothing tells what a new row would hold in {', '.join(proposal.untold)}"
    elif not facts.why_no_insert:
        insert = "nothing tells the id of a room that has no row"
    return {
        "id": unique,
        "room": named,
        "owner": "its users are in the rooms; shown only",
        "show": "tells the rows apart; shown only",
        "where": "only such rows are seen: take it out if others count as well",
        "insert": insert,
    }


def _strength(tell: Tell, proposal: Proposal) -> str:
    told = f"tells the id of {tell.right:,} of {proposal.witnesses:,} linked rooms"
    if tell.wrong:
        told += f", and another one of {tell.wrong:,}"
    if tell.untold:
        told += f"; where {', '.join(tell.untold)} stands wasn't found, and rows must say it"
    if not tell.certain:
        told += "; a proposal only, which waits for a yes"
    if tell.right == 1:
        told += "; one room shows little: look whether it holds for others"
    return told


def _some(names: Iterable[str]) -> str:
    told = sorted(names)
    return ", ".join(told[:3]) + (f" and {len(told) - 3:,} others" if len(told) > 3 else "")


_HEAD = "# Proposed by `matrix-drift fit`. Look at it, save it as matrix-drift.toml, and: matrix-drift check"
_NO_ADDRESS = "such as https://matrix.example.org"
_NO_UTF8 = "what was given is no UTF-8, and can't stand in a file"
_NOTHING = "Nothing was found that tells the id of a room that no row names. If something does:"
_NOT_LOOKED = "Not looked at: what tells the id of a room that no row names. If something does:"
_STOPPED = "# stopped = true  # if it keeps rows in memory and writes them back, as bridges do"
_EXAMPLE = ("# [[evidence]]", "# name = 'Ticket #{id} .+'")
