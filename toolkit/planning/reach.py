"""What of both sides one room's plan rests on: which rooms to read next, and whose rows. Pure.

It follows what leads anywhere: the bot's links, upgrades, rows, and what is known of other rooms besides.
What only a look at the whole account could find, it doesn't (rules 5).
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping

import msgspec

from toolkit.convention import Convention
from toolkit.model import Code, Plan, Reason, RemoteState, RoomState, Unit
from toolkit.planning.lineage import trace_upgrades
from toolkit.planning.memberships import memberships
from toolkit.planning.one_room import narrow_plan, owner_in
from toolkit.planning.places import find_nested
from toolkit.records import LocalState, Names, is_placeholder

Near = Mapping[str, Collection[str]]
"""Room id -> rooms that name it, user -> Spaces that they are in: what is known without reading."""

A_FEW, MANY = 2, 50  # rooms below a Space to be read at once: if Spaces lie in it, and if none does


class Reach(msgspec.Struct, frozen=True):
    """`rooms` are to be read next; if there are none, `names` are whose rows must be known, None for all;
    and if they are, `everything` says that only the whole account can tell.
    """

    rooms: frozenset[str] = frozenset()
    names: Names | None = None
    everything: bool = False


def find_reach(
    remote: RemoteState,
    local: LocalState,
    plan: Plan,
    met: tuple[str, str],
    convention: Convention,
    near: Near,
    decided: Collection[str] = (),
) -> Reach:
    """Look once at what is known by now; asked again after each reading, it ends.

    `plan` is that of these two sides, `met` the room and the user through whom it was met, `decided` are
    the units that a human agreed to.
    """
    walk = _Walk(remote, local, convention, near)
    users = _users(walk, plan, met)
    if not walk.is_settled(met[0]):
        walk.go([met[0]])
    for user in sorted(users):
        walk.go(walk.named_by(user))
    known = frozenset(remote.rooms.keys() | remote.unreadable.keys())
    return Reach(
        frozenset(walk.unseen),
        Names(known | {met[0]}, frozenset(users)),
        _is_lost(plan, met[0]) or _is_doubtful(walk, plan, met, users, decided),
    )


class _Walk:
    """Rooms reached so far; `unseen` are those that must be read to go on."""

    def __init__(
        self, remote: RemoteState, local: LocalState, convention: Convention, near: Near
    ) -> None:
        self.remote, self.local, self.near = remote, local, near
        accounts = frozenset({remote.account, *convention.former_accounts})
        self.nobody = accounts | frozenset(convention.helper_accounts)
        self.lineage = trace_upgrades(remote, accounts)
        rooms = remote.rooms.values()
        spaces = [room for room in rooms if room.is_space and self.lineage.trusts(room)]
        self.inner = find_nested(spaces, self.lineage)
        self.naming = _naming(rooms)
        self.reached: set[str] = set()
        self.unseen: set[str] = set()

    def go(self, start: Iterable[str]) -> None:
        """Reach all that these lead to."""
        waiting = [room_id for room_id in start if self.remote.joined(room_id)]
        while waiting:
            room_id = waiting.pop()
            if room_id in self.reached:
                continue
            self.reached.add(room_id)
            if room := self._see(room_id):
                waiting += filter(self.remote.joined, self._leads_to(room))

    def is_settled(self, room_id: str) -> bool:
        """Whether a room's own state and its upgrades say all of it: it is a stranger's, or replaced."""
        waiting, chain = [room_id], set[str]()
        while waiting:
            one = waiting.pop()
            if one not in chain and self.remote.joined(one):
                chain.add(one)
                if seen := self._see(one):
                    waiting += filter(None, (seen.predecessor, seen.replacement))
        room = self.remote.rooms.get(room_id)
        return room is None or not self.lineage.trusts(room) or room.replacement is not None

    def named_by(self, user: str) -> Iterator[str]:
        """The rooms that a user's rows name, and the Spaces that they are known to be in."""
        if row := self.local.users.get(user):
            yield row.space_id
        for room_id, room_row in self.local.rooms.items():
            if room_row.matrix_user_id == user:
                yield from (room_id, room_row.space_id)
        for (owner, chat_id), chat_row in self.local.chats.items():
            if owner == user and not is_placeholder(chat_id):
                yield chat_row.surface_ref
        yield from self.near.get(user, ())

    def _see(self, room_id: str) -> RoomState | None:
        room = self.remote.rooms.get(room_id)
        if room is None and room_id not in self.remote.unreadable:
            self.unseen.add(room_id)
        return room

    def _leads_to(self, room: RoomState) -> Iterator[str]:
        """Whatever may say something about this room, or a room about which it may."""
        yield from filter(None, (room.predecessor, room.replacement))
        if not self.lineage.trusts(room):
            return  # a stranger's links count nowhere
        if room.is_space:
            if self._holds_others(room.room_id):
                return
            yield from self._below(room)
        for link in room.parents:
            if link.sender in self.lineage.accounts:
                yield link.target
            elif room.is_space and self.remote.joined(link.target):
                self._see(
                    link.target
                )  # it leads nowhere, but who is below what can't be read waits
        yield from self.naming.get(room.room_id, ())
        yield from self.near.get(room.room_id, ())
        if row := self.local.rooms.get(room.room_id):
            yield row.space_id

    def _below(self, space: RoomState) -> Iterator[str]:
        """The rooms that a Space lists: some at a time, since it may turn out to be a container."""
        seen: list[str] = []
        unseen: list[str] = []
        for link in space.children:
            room_id = link.target
            known = room_id in self.remote.rooms
            if not known and room_id not in self.remote.unreadable:
                unseen += [room_id] if self.remote.joined(room_id) else []
            elif link.sender in self.lineage.accounts or self.lineage.was_in(link.sender, room_id):
                seen.append(room_id)
        size = A_FEW if self.inner.get(self.lineage.head(space.room_id)) else MANY
        self.unseen.update(unseen[: max(size, len(seen))])
        yield from seen

    def _holds_others(self, room_id: str) -> bool:
        """Whether a Space is a container whatever else lies in it (rules 2.4), so that it leads nowhere:
        no row names it, it has one member at most, and Spaces of others lie in it.
        """
        inner = self.inner.get(space := self.lineage.head(room_id), ())
        own = self._present(space) if inner else set()
        if not inner or len(own) > 1 or self._users_of(space):
            return False
        owners = set[str]()
        for each in inner:
            present = self._present(each)
            owners |= self._users_of(each) or (present if len(present) == 1 else set())
        return len(owners | own) > 1

    def _present(self, space: str) -> set[str]:
        return set(memberships(self.lineage.versions(space), self.nobody).present)

    def _users_of(self, space: str) -> set[str]:
        """The users whose row names a Space, any version of it."""
        ids = {version.room_id for version in self.lineage.versions(space)}
        return {user for user, row in self.local.users.items() if row.space_id in ids}


def _naming(rooms: Iterable[RoomState]) -> dict[str, set[str]]:
    """What these rooms say of others, the other way round."""
    found: dict[str, set[str]] = defaultdict(set)
    for room in rooms:
        named = {link.target for link in (*room.children, *room.parents)}
        for other in named | {room.predecessor or "", room.replacement or ""}:
            found[other].add(room.room_id)
    return found


def _users(walk: _Walk, plan: Plan, met: tuple[str, str]) -> set[str]:
    """Whose rows matter: the owner's, or those of whoever may turn out to be it."""
    room_id, user_id = met
    found = {user for user, row in walk.local.users.items() if row.space_id == room_id}
    if owner := owner_in(plan, walk.local, room_id):
        return found | {owner}
    found |= {unit.owner for unit in plan.units if unit.owner and unit.space_id == room_id}
    found |= {
        user for (user, _), r in walk.local.chats.items() if user and r.surface_ref == room_id
    }
    if _is_lost(plan, room_id):
        row = walk.local.rooms.get(room_id)
        found |= {user_id, row.matrix_user_id if row else user_id}
    return found


def _is_lost(plan: Plan, room_id: str) -> bool:
    """Whether nothing that is known links the room to a Space."""
    return room_id in _homeless(plan)


def _is_doubtful(
    walk: _Walk, plan: Plan, met: tuple[str, str], users: set[str], decided: Collection[str]
) -> bool:
    """Whether something is about to be written, and something hints at a Space that nothing leads to."""
    narrowed = narrow_plan(plan, walk.local, *met)
    due = [unit for unit in narrowed.units if unit.certain or unit.id in decided]
    if not due:
        return False
    named = {walk.lineage.head(room_id) for user in users for room_id in walk.named_by(user)}
    return (
        any(unit.needs_human or _moves(unit, walk) for unit in due)
        or any(note.code is Code.UNLISTED_ROOM for note in narrowed.notes)
        or not named.isdisjoint(_homeless(plan))
    )


def _moves(unit: Unit, walk: _Walk) -> bool:
    """Whether the user's row names another Space than the one that would be written."""
    row = walk.local.users.get(unit.owner or "")
    return row is not None and row.space_id not in {
        version.room_id for version in walk.lineage.versions(unit.space_id or "")
    }


def _homeless(plan: Plan) -> set[str]:
    """The bot's rooms that hang below no user Space as far as this plan knows."""
    found = {skip.room_id for skip in plan.skipped if skip.reason is Reason.NO_SPACE}
    return found | {
        unit.id for unit in plan.units if any(f.remote is Reason.NO_SPACE for f in unit.findings)
    }
