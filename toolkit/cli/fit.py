"""`fit`: a mapping proposed for a database that none describes yet. Writes nothing."""

import asyncio
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from toolkit.cli.options import Where
from toolkit.cli.output import keep_secret, progress, say, show_lines, someone_there
from toolkit.convention import Convention
from toolkit.database.opening import site_at
from toolkit.database.sample import SAMPLED, Site, Survey
from toolkit.deadline import within
from toolkit.errors import ConventionError, StoreError, ToolkitError
from toolkit.fitting.chats import KeyValue, find_key_value
from toolkit.fitting.page import chats_page, links_page, settings_page
from toolkit.fitting.proposal import Proposal, constants, propose
from toolkit.fitting.reach import Everything
from toolkit.fitting.trial import Trial, count_rooms, try_links
from toolkit.homeserver.reading import load_remote
from toolkit.layout import TableFacts
from toolkit.model import RemoteState
from toolkit.planning.plan import plan_repairs
from toolkit.quotes import quote_odd
from toolkit.records import Raw, load_records
from toolkit.sources.settings import read_token
from toolkit.text.summary import count_of

FITS = 0


def fit(where: Where) -> int:
    """Propose a mapping on stdout; say on stderr what it accounts for, and what nobody can tell."""
    site = site_at(where.named_database(_WAYS))
    where, unseen = _with_homeserver(where)
    asyncio.run(_fit(site, where, unseen))
    return FITS


def _with_homeserver(where: Where) -> tuple[Where, str]:
    """The settings with a token if there can be one; else why there is no look at the rooms."""
    token = read_token(os.environ)
    if token:
        keep_secret(token)  # it may stand in the database
    if where.homeserver is None:
        return where, "no homeserver is named (--homeserver, MATRIX_HOMESERVER)"
    if token or someone_there():
        return where.with_token(), ""
    return where, "there is no access token (MATRIX_ACCESS_TOKEN, MATRIX_ACCESS_TOKEN_FILE)"


async def _fit(site: Site, where: Where, unseen: str) -> None:
    found = await site.survey()
    remote = None if unseen else await _read_rooms(where)
    sides = {"homeserver": where.homeserver, "database": site.setting}
    head = settings_page({**where.settings, **sides}, {"database": site.remark})
    if chats := find_key_value(found.samples):
        told = await _try_chats(site, chats, remote, where.sides().convention)
        show_lines([*head, *chats_page(chats)])
        _tell_chats(chats, found, told, unseen)
        return
    settings = where.settings
    proposals = propose(
        found.samples,
        remote,
        settings.get("former_accounts", ()),
        settings.get("helper_accounts", ()),
    )
    fitting = await _first_that_fits(site, proposals, remote, where.sides().convention)
    if fitting is None:
        _tell_untold(found.untold)
        raise ToolkitError(_why_nothing(site, found, proposals, remote))
    looked = remote is not None
    page = links_page(fitting.proposal, fitting.facts, looked=looked)
    show_lines([*head, *page])
    _tell(fitting, proposals, found, unseen)


async def _try_chats(
    site: Site, chats: KeyValue, remote: RemoteState | None, convention: Convention
) -> list[str]:
    """What the real planner says of such a table. Raises `StoreError` where it can't be used."""
    table, key, value = chats.table, chats.key_column, chats.value_column
    rows, _ = await _open(site, table=table, key_column=key, value_column=value)
    told = [f"Rows: {len(rows):,}."]
    if remote is None:
        return told
    return [*told, *count_rooms(plan_repairs(remote, load_records(rows), convention))]


async def _read_rooms(where: Where) -> RemoteState:
    sides = where.sides()
    with progress("Reading rooms") as tell:
        async with within(where.deadline, "reading the rooms"), sides.open_client() as client:
            return await load_remote(
                client,
                sides.convention,
                local_rows=False,
                progress=tell,
                sliding_sync=where.sliding_sync,
                layout=Everything(),
            )


class Fitting(msgspec.Struct, frozen=True):
    """A proposal that the database took, what that says of its table, and what the planner says of it."""

    proposal: Proposal
    facts: TableFacts
    trial: Trial
    refused: tuple[str, ...]


async def _first_that_fits(
    site: Site,
    proposals: Sequence[Proposal],
    remote: RemoteState | None,
    convention: Convention,
) -> Fitting | None:
    refused: list[str] = []
    for proposal in proposals[:_TRIED]:
        if remote is not None and not proposal.witnesses:
            break
        try:
            layout = proposal.layout()
            rows, facts = await _open(site, layout=layout)
            proposal, facts = await _with_insert(site, proposal, facts)
        except (ConventionError, StoreError) as error:
            refused.append(str(error))
            continue
        trial = try_links(rows, facts, proposal.layout(), remote, convention)
        return Fitting(proposal, facts, trial, tuple(refused))
    if refused:
        say(f"Refused: {refused[0]}")
    return None


async def _open(site: Site, **settings: Any) -> tuple[dict[str, Raw], TableFacts]:
    store = site.store(**settings)
    await store.open()
    try:
        return dict(await store.load_rows()), store.facts
    finally:
        await store.close()


async def _with_insert(
    site: Site, proposal: Proposal, facts: TableFacts
) -> tuple[Proposal, TableFacts]:
    """The proposal with what lets a row be made, if anything does and something tells whose."""
    if not proposal.tells or proposal.untold:
        return proposal, facts
    if not facts.why_no_insert:
        return msgspec.structs.replace(proposal, insert=True), facts
    if given := constants(proposal):
        more = msgspec.structs.replace(proposal, insert=given)
        _, found = await _open(site, layout=more.layout())
        if not found.why_no_insert:
            return more, found
    return proposal, facts


def _tell(fitting: Fitting, proposals: Sequence[Proposal], found: Survey, unseen: str) -> None:
    """What it accounts for, what came second, and what can't be told."""
    proposal = fitting.proposal
    say(f"Proposed: {_name(proposal)}.")
    for sentence in fitting.trial.sentences():
        say(sentence)
    for why in fitting.refused:
        say(f"Refused before: {why}")
    for other in _others(proposal, proposals):
        say(f"Came after it: {_name(other)}, {_why_after(other, looked=not unseen)}.")
    _tell_untold(_untold(proposal, found, unseen))
    say(_NEXT)


def _tell_chats(chats: KeyValue, found: Survey, told: Sequence[str], unseen: str) -> None:
    say(
        f"Proposed: the key-value table {quote_odd(chats.table)}, which is of the toolkit's own shape."
    )
    for sentence in told:
        say(sentence)
    if unseen:
        say(f"Can't tell: which rooms are joined: {unseen}.")
    _tell_untold(found.untold)
    say(_NEXT)


def _tell_untold(untold: Iterable[str]) -> None:
    for what in untold:
        say(f"Can't tell: {what}.")


def _name(proposal: Proposal) -> str:
    one = proposal.candidate
    ids = ", ".join(map(quote_odd, one.ids))
    return f"{quote_odd(one.sample.name)}, id {ids}, room {quote_odd(one.room)}"


def _others(chosen: Proposal, proposals: Sequence[Proposal]) -> Iterator[Proposal]:
    """The next best of other columns, where there is anything to be said for them."""
    seen, names = {_columns(chosen)}, {_name(chosen)}
    for other in proposals:
        new = other.tells or _columns(other) not in seen
        if new and other.candidate.links and _name(other) not in names and len(names) <= _SHOWN:
            seen.add(_columns(other))
            names.add(_name(other))
            yield other


def _columns(proposal: Proposal) -> tuple[str, str]:
    return proposal.candidate.sample.name, proposal.candidate.room


def _why_after(proposal: Proposal, *, looked: bool) -> str:
    if not looked:
        return f"rows with an id and a room: {len(proposal.candidate.links):,}"
    told = max((tell.right for tell in proposal.tells), default=0)
    return f"joined rooms: {proposal.witnesses:,}, ids that something else tells: {told:,}"


def _untold(proposal: Proposal, found: Survey, unseen: str) -> Iterator[str]:
    """What a person has to look at."""
    if unseen:
        yield f"who made the rooms, what tells their ids, and which are joined: {unseen}"
    elif proposal.makers.others:
        yield (
            f"what makes rooms count that {count_of(len(proposal.makers.others), 'other account')} made: nothing "
            "that the bot sent tells their ids, and no pattern of accounts shows; name them in rooms if they are its"
        )
    if not unseen and not proposal.tells:
        yield "what else tells the id of a room; without it only rows do"
    if not proposal.candidate.sample.whole:
        yield f"what stands in all rows: {SAMPLED:,} of the table were looked at for the proposal"
    yield from found.untold


def _why_nothing(
    site: Site, found: Survey, proposals: Sequence[Proposal], remote: RemoteState | None
) -> str:
    if not found.samples:
        readable = " that could be read" if found.untold else ""
        return f"Nothing to propose: the database {site.name} has no table{readable}."
    if remote is not None and not (remote.rooms or remote.unreadable):
        return f"Nothing to propose: {quote_odd(remote.account)} is in no room."
    columns = dict.fromkeys(
        f"{quote_odd(one.candidate.sample.name)}.{quote_odd(one.candidate.room)}"
        for one in proposals
    )
    if not columns:
        return _NO_COLUMN.format(site.name)
    if remote is None:
        return _NO_LINK.format(", ".join(columns))
    return _NOT_OURS.format(", ".join(columns), quote_odd(remote.account))


_WAYS = {"database": "its file or address after `fit`, BOT_DATABASE"}
_TRIED, _SHOWN = 20, 3
_NEXT = "Look at it, save it as matrix-drift.toml, and run `matrix-drift check`: neither writes to the database."
_NO_COLUMN = (
    "Nothing to propose: no column of {} holds ids of rooms beside something that may be an id, each in one row. If "
    "the rows name none yet, or name rooms in another way, write the mapping by hand (docs/layouts.md)."
)
_NO_LINK = "Nothing to propose: {} may be of rooms, but the database doesn't let them be mapped."
_NOT_OURS = (
    "Nothing to propose: {} may be of rooms, but of none that {} is in has it exactly one row with an id (a text or an "
    "integer); another account's database?"
)
