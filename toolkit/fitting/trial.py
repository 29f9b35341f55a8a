"""What the real planner says of both sides by a proposed mapping, counted. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from toolkit.convention import Convention
from toolkit.layout import Layout, TableFacts
from toolkit.model import Plan, RemoteState
from toolkit.planning.links.plan import plan_links
from toolkit.planning.links.rows import LinkState, load_links
from toolkit.records import Raw


class Trial(msgspec.Struct, frozen=True):
    """A proposal's rows as the database gave them, and the plan, where the rooms were read."""

    links: LinkState
    plan: Plan | None = None

    def sentences(self) -> list[str]:
        """How many rows and rooms the mapping accounts for."""
        links, plan = self.links, self.plan
        named = sum(row.room is not None for row in links.all_links)
        rows = len(links.all_links) + len(links.unreadable) + len(links.nameless)
        told = [f"Rows: {rows:,}; {named:,} name a room{_list(_odd(links))}."]
        if plan is None:
            return told
        stands = Counter(
            f"{unit.status.value} ({unit.findings[0].code.value})" for unit in plan.units
        )
        stands["in sync"] = len(plan.in_sync_rooms)
        skipped = Counter(skip.reason.value for skip in plan.skipped)
        told.append(f"Rooms: {len(plan.joined):,} joined{_list(_counted(stands))}.")
        if skipped:
            told.append(f"Skipped rooms: {', '.join(_counted(skipped))}.")
        if plan.orphans:
            told.append(f"Rows whose room isn't joined: {len(plan.orphans):,}.")
        return told


def try_links(
    rows: Mapping[str, Raw],
    facts: TableFacts,
    layout: Layout,
    remote: RemoteState | None,
    convention: Convention,
) -> Trial:
    """Plan as `check` would."""
    links = load_links(rows, layout, facts)
    if remote is None:
        return Trial(links)
    return Trial(links, plan_links(remote, links, layout, convention))


def _odd(links: LinkState) -> list[str]:
    counts = Counter[str]()
    counts["can't be read"] = len(links.unreadable)
    counts["have no id"] = len(links.nameless)
    counts["share their id with another"] = sum(map(len, links.repeated.values()))
    return _counted(counts)


def _counted(counts: Mapping[str, int]) -> list[str]:
    return [f"{count:,} {what}" for what, count in sorted(counts.items()) if count]


def _list(words: Iterable[str]) -> str:
    return "".join(f", {word}" for word in words)
