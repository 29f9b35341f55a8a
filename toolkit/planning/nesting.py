"""Spaces in Spaces: which of them are users' own, containers of such, or a user's archives. Pure.

Bots put a root above all users' Spaces and archives below one (rules 2.4). Only the bot's own links
say so, and what they leave open is said to be open: a guess here would hand one user's chats to another.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec


class SpaceFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one Space that lies in another one, or holds one.

    `rows` are the users whose readable row names it, `named` those of them who may own it. `present` are the
    Space's own members, `owner` is the one member of it, or else of its chats; `ever` are all users that
    were seen in it, or else in its chats. `holds` says that rooms hang directly below it, `numbered` that
    some of them tell a chat id.
    """

    rows: frozenset[str] = frozenset()
    named: frozenset[str] = frozenset()
    present: frozenset[str] = frozenset()
    owner: str | None = None
    ever: frozenset[str] = frozenset()
    holds: bool = False
    numbered: bool = False

    @property
    def owners(self) -> frozenset[str]:
        """Whose it may be: whom a row names, or the one member, or the one that there ever was."""
        if self.rows or self.owner:
            return self.rows or frozenset([self.owner or ""])
        return self.ever if len(self.ever) == 1 else frozenset()


class Nesting(msgspec.Struct, frozen=True):
    """`containers` are nobody's; `archives` maps a Space inside users' Spaces to these; of the Spaces in
    `undecided` nothing tells which one counts. `inside` maps a Space to all that lie in it, however deep.
    All other Spaces are users' own.
    """

    containers: frozenset[str] = frozenset()
    archives: Mapping[str, tuple[str, ...]] = {}
    undecided: frozenset[str] = frozenset()
    inside: Mapping[str, frozenset[str]] = {}


NO_NESTING = Nesting()


def settle_nesting(inner: Mapping[str, Sequence[str]], facts: Mapping[str, SpaceFacts]) -> Nesting:
    """Judge all Spaces that take part, from the outermost in.

    `inner`: Space -> the Spaces that the bot's links put into it, without circles.
    """
    outer: dict[str, list[str]] = defaultdict(list)
    for space, below in inner.items():
        for each in below:
            outer[each].append(space)
    order = _outermost_first(inner, outer)
    inside: dict[str, frozenset[str]] = {}
    for space in reversed(order):
        below = inner.get(space, ())
        inside[space] = frozenset(below).union(*(inside[each] for each in below))
    containers: set[str] = set()
    archives: dict[str, tuple[str, ...]] = {}
    undecided: set[str] = set()
    for space in order:
        own = facts[space]
        if own.named:
            continue
        deeper = [facts[each] for each in sorted(inside[space])]
        if deeper and _is_container(own, deeper):
            containers.add(space)
            continue
        above = {
            user_space
            for each in outer[space]
            if each not in containers
            for user_space in archives.get(each, (each,))
        }
        rivals = _undecided_with(own, {each: facts[each] for each in above})
        if rivals:
            undecided |= {space, *rivals}
        elif above and own.ever <= {user for each in above for user in facts[each].owners}:
            archives[space] = tuple(sorted(above))
    return Nesting(frozenset(containers), archives, frozenset(undecided), inside)


def _is_container(own: SpaceFacts, deeper: Sequence[SpaceFacts]) -> bool:
    owners = {user for each in deeper for user in each.owners}
    members = {each.owner for each in deeper if each.owner}
    if (
        len(own.present) > 1
        and own.holds
        and own.numbered
        and owners & own.present
        and len(members) < 2  # of two users' Spaces, one is another owner's, whoever owns this one
    ):
        return False  # it may as well be an owner with guests, whose archive lies in it
    return not own.holds or len(own.present) > 1 or bool(owners - {own.owner or ""})


def _undecided_with(own: SpaceFacts, above: Mapping[str, SpaceFacts]) -> set[str]:
    """The Spaces above that may have the same owner by members, and no row, while both hold rooms."""
    if own.owner is None or not own.holds:
        return set()
    return {
        space
        for space, outer in above.items()
        if not outer.named and outer.holds and own.owner in {outer.owner, *outer.present}
    }


def _outermost_first(
    inner: Mapping[str, Sequence[str]], outer: Mapping[str, Sequence[str]]
) -> list[str]:
    spaces = sorted({*inner, *outer})
    left = {space: len(outer.get(space, ())) for space in spaces}
    order = [space for space in spaces if not left[space]]
    for space in order:
        for each in inner.get(space, ()):
            left[each] -= 1
            if not left[each]:
                order.append(each)
    return order


def without_circles(inner: Mapping[str, set[str]]) -> dict[str, tuple[str, ...]]:
    """The links that take part in no circle: those between different strongly connected parts.

    >>> without_circles({"!root": {"!a"}, "!a": {"!b"}, "!b": {"!a"}})
    {'!root': ('!a',)}
    """
    part = _parts(inner)
    kept = {
        space: tuple(sorted(each for each in below if part[each] != part[space]))
        for space, below in sorted(inner.items())
    }
    return {space: below for space, below in kept.items() if below}


def _parts(inner: Mapping[str, set[str]]) -> dict[str, str]:
    """Space -> a name of its strongly connected part (Kosaraju's two walks)."""
    outer: dict[str, set[str]] = defaultdict(set)
    for space, below in inner.items():
        for each in below:
            outer[each].add(space)
    finished: list[str] = []
    seen: set[str] = set()
    for start in sorted({*inner, *outer}):
        finished += _walk(start, inner, seen)
    part: dict[str, str] = {}
    seen = set()
    for start in reversed(finished):
        part.update(dict.fromkeys(_walk(start, outer, seen), start))
    return part


def _walk(start: str, links: Mapping[str, set[str]], seen: set[str]) -> list[str]:
    """Everything that can be reached and wasn't seen, each after what it leads to."""
    if start in seen:
        return []
    seen.add(start)
    finished: list[str] = []
    waiting = [(start, iter(sorted(links.get(start, ()))))]
    while waiting:
        space, below = waiting[-1]
        for each in below:
            if each not in seen:
                seen.add(each)
                waiting.append((each, iter(sorted(links.get(each, ())))))
                break
        else:
            finished.append(space)
            waiting.pop()
    return finished
