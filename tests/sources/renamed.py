"""A plan with everybody renamed: what comes out of an anonymised snapshot, if it is true."""

import json
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import HealthCheck, settings

from tests.worlds import BOT, CHAT_ID_EVENT, HELPER, Sides, _encode
from toolkit.convention import Convention
from toolkit.model import Change, Choices, Code, Evidence, Finding, Plan, Skip, Unit, UnitKind
from toolkit.planning.plan import plan_repairs
from toolkit.quotes import quote_odd
from toolkit.records import NULL, Raw
from toolkit.sources import anonymise as module
from toolkit.sources.anonymise import listen, translate
from toolkit.sources.pseudonyms import Pseudonyms
from toolkit.sources.snapshot import Snapshot

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
GIVEN: dict[str, Any] = {"state_event_type": CHAT_ID_EVENT, "helper_accounts": [HELPER]}
laws = settings(
    max_examples=int(os.environ.get("LAW_EXAMPLES", "150")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def taken(sides: Sides, given: Mapping[str, Any] = GIVEN) -> Snapshot:
    rooms = {r: _encode(events) for r, events in sides.rooms.items() if r not in sides.unreadable}
    why = "the homeserver answered 403 M_FORBIDDEN"
    return Snapshot(BOT, rooms, dict.fromkeys(sides.unreadable, why), sides.rows, "", dict(given))


def plan_of(snapshot: Snapshot, choices: Any = None, *, lower: bool = False) -> Plan:
    convention = Convention(**snapshot.settings)
    remote, local = snapshot.remote(convention), snapshot.local()
    return plan_repairs(remote, local, convention, choices, lower_counters=lower)


# The same plan


class Renamed:
    """A plan in other words. What is sorted by users or keys is sorted anew: they are shuffled."""

    def __init__(self, names: Pseudonyms, snapshot: Snapshot) -> None:
        self.names = names
        ids = [*snapshot.rooms, *snapshot.unreadable]
        plan = plan_of(snapshot)
        ids += [room_id for unit in plan.units for room_id in unit.room_ids]
        self.words = {room_id: names.text(room_id) for room_id in ids}
        self.words |= {why: module._why(why) for why in snapshot.unreadable.values()}
        state, local = snapshot.remote(Convention()), snapshot.local()
        members = [member for room in state.rooms.values() for member in room.members]
        users = {member.user_id for member in members} | local.users.keys()
        users |= {row.matrix_user_id for row in local.rooms.values()}
        users |= {user for user, _ in local.chats} | {snapshot.account}
        users |= {room.creator or "" for room in state.rooms.values()}
        named = {row.space_id for row in local.rooms.values()}
        named |= {row.space_id for row in local.users.values()}
        named |= {link.target for room in state.rooms.values() for link in room.parents}
        named |= {room.replacement or "" for room in state.rooms.values()}
        self.words |= {quote_odd(name): names.text(name) for name in users | named if name}
        self.words |= {quote_odd(key): names.key(key) for key in local.rows}
        self.words |= {
            f"'{how}'": f"'{names.keep(how, module._MEMBERSHIPS)}'"
            for how in {member.membership for member in members}
        }
        self.pattern = re.compile(
            "|".join(map(re.escape, sorted(self.words, key=len, reverse=True))) or "(?!)"
        )

    def plan(self, plan: Plan) -> Plan:
        text = self.names.text
        return Plan(
            account=text(plan.account),
            joined=tuple(map(text, plan.joined)),
            in_sync_rooms=tuple(map(text, plan.in_sync_rooms)),
            in_sync_users=tuple(sorted(map(text, plan.in_sync_users))),
            skipped=tuple(Skip(text(skip.room_id), skip.reason) for skip in plan.skipped),
            units=tuple(
                sorted(map(self.unit, plan.units), key=lambda u: (u.kind is UnitKind.ROOM, u.id))
            ),
            orphans=tuple(sorted(map(self.names.key, plan.orphans))),
            notes=self.findings(plan.notes),
            loose=self.findings(plan.loose),
            others=plan.others,
            spaces={text(space): tuple(map(text, rooms)) for space, rooms in plan.spaces.items()},
        )

    def findings(self, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
        return tuple(sorted(map(self.finding, findings), key=lambda f: (f.key, f.code)))

    def unit(self, unit: Unit) -> Unit:
        text = self.names.text
        return Unit(
            id=text(unit.id),
            kind=unit.kind,
            status=unit.status,
            findings=tuple(map(self.finding, unit.findings)),
            owner=unit.owner and text(unit.owner),
            chat_id=unit.chat_id,
            space_id=unit.space_id and text(unit.space_id),
            room_ids=tuple(map(text, unit.room_ids)),
            evidence=self.evidence(unit.evidence),
            change=unit.change and self.change(unit.change),
            needs_human=unit.needs_human,
            choices=choices_in(self.names, unit.choices),
            candidates=tuple(sorted(map(text, unit.candidates))),
            rows_agree=unit.rows_agree,
        )

    def evidence(self, evidence: Evidence) -> Evidence:
        return Evidence(evidence.rung, tuple(map(self.names.text, evidence.events)))

    def finding(self, found: Finding) -> Finding:
        key = self.names.key(found.key) if found.key else ""
        whole = found.code is Code.UNREADABLE_ROW and found.local is not None
        local = (
            module._row(found.local, self.names) if whole else self.value(found.field, found.local)
        )
        return Finding(
            unit=key if found.unit == found.key else self.names.text(found.unit),
            code=found.code,
            key=key,
            cause=_in_order(self.pattern.sub(lambda match: self.words[match[0]], found.cause)),
            field=found.field,
            local=local,
            remote=self.value(found.field, found.remote) if found.field else found.remote,
            evidence=self.evidence(found.evidence),
            proposal=found.proposal and self.names.chat(found.proposal),
            rivals=tuple(map(self.names.text, found.rivals)),
        )

    def value(self, field: str, value: Any) -> Any:
        row = json.dumps({field: value})
        return json.loads(module._row_text(row, self.names)).get(field)

    def change(self, change: Change) -> Any:
        writes = [
            (
                self.names.key(w.key),
                *(_read(module._row(r, self.names)) for r in (w.before, w.after)),
            )
            for w in change.writes
        ]
        return (writes, sorted(map(self.names.key, change.relies_on)))


def _in_order(cause: str) -> str:
    """What is said of several users comes in the order of their names, which is another one now."""
    head, colon, told = cause.partition(": ")
    return head + colon + "; ".join(sorted(told.split("; ")))


def _read(raw: Raw) -> Any:
    if raw is None or raw is NULL or isinstance(raw, int | float):
        return raw
    try:
        return [type(raw), module._parse(raw.decode() if isinstance(raw, bytes) else raw)]
    except (ValueError, RecursionError):
        return raw


def sorted_anew(plan: Plan) -> Plan:
    def unit(unit: Unit) -> Unit:
        change: Any = unit.change and (
            [(w.key, _read(w.before), _read(w.after)) for w in unit.change.writes],
            sorted(unit.change.relies_on),
        )
        return msgspec.structs.replace(
            unit,
            candidates=tuple(sorted(unit.candidates)),
            change=change,
            findings=tuple(
                msgspec.structs.replace(f, cause=_in_order(f.cause)) for f in unit.findings
            ),
        )

    def note(found: Finding) -> Finding:
        return msgspec.structs.replace(found, cause=_in_order(found.cause))

    return msgspec.structs.replace(
        plan,
        units=tuple(map(unit, plan.units)),
        notes=tuple(map(note, plan.notes)),
        loose=tuple(map(note, plan.loose)),
    )


def choices_in(names: Pseudonyms, choices: Choices) -> Choices:
    return msgspec.structs.replace(
        choices,
        owner=choices.owner and names.text(choices.owner),
        space_id=choices.space_id and names.text(choices.space_id),
        chat_id=choices.chat_id and names.chat(choices.chat_id),
    )


def assert_same_plan(snapshot: Snapshot, choices: Any = None, *, lower: bool = False) -> None:
    names = listen(snapshot)
    chosen = {names.text(unit): choices_in(names, told) for unit, told in (choices or {}).items()}
    theirs = plan_of(translate(snapshot, names), chosen, lower=lower)
    ours = Renamed(names, snapshot).plan(plan_of(snapshot, choices, lower=lower))
    assert sorted_anew(theirs) == ours
