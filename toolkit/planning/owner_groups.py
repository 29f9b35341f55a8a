"""Users' groups: the Spaces and chats of one owner, what stops them, and what stops others through them.

Pure. Between the ladders (`owners`, `chat_ids`), which look at one Space or one owner at a time, and the
planner, which turns the outcome into units.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache, cached_property

import msgspec

from toolkit.convention import Convention
from toolkit.model import NO_CHOICES, Choices, Code, Reason, RemoteState, RoomState, Rung
from toolkit.planning.chat_ids import ChatId, Context, find_chat_id, find_chat_ids
from toolkit.planning.identity import Identity, resolve_identity
from toolkit.planning.no_chats import called_chats
from toolkit.planning.other_rows import Others, split_others
from toolkit.planning.owner_case import Owner
from toolkit.planning.owners import find_owner
from toolkit.planning.places import Told
from toolkit.planning.row_index import Naming, ids, index_rows
from toolkit.planning.unread_rooms import Unread
from toolkit.quotes import quote_odd
from toolkit.records import LocalState, chat_key, room_key

_LOCAL_RUNGS = (Rung.CHOICE, Rung.ROOM_ROW, Rung.CHAT_ROW)


class Block(msgspec.Struct, frozen=True):
    """A conflict that stops a unit: code, cause, what a human is proposed and may pick from.

    `rivals` are rooms that claim the same.
    """

    code: Code
    cause: str
    proposal: str | None = None
    candidates: tuple[str, ...] = ()
    remote: str | None = None
    rivals: tuple[str, ...] = ()


class Group(msgspec.Struct):
    """All Spaces of one certain owner, or one Space whose owner isn't certain.

    `space` is the one that counts (None: undecided). `shared`: the proposed owner has other Spaces.
    """

    owner: str | None
    spaces: tuple[str, ...]
    answer: Owner
    space: str | None = None
    chats: dict[str, tuple[RoomState, ...]] = {}
    found: dict[str, ChatId] = {}
    shared: bool = False

    @property
    def unit(self) -> str:
        """The id of the user row's unit."""
        own = self.owner if self.answer.solid and not self.shared else None
        return own or self.spaces[0]


class Groups:
    """Everything that is decided about owners and chat ids, before any row is compared.

    In this order, each step asking only what the ones before it found: which rooms are what
    (`identity`), and so which rows are ours (`local`, `others`, `naming`); whose each Space is (`owners`);
    the Spaces of one owner together, with their chats (`groups`); which chat each room is, and what stops
    it (`_resolve`, `blocks`); what stops others through it (`_hold_back`, `contested`, `_block_moves`).
    """

    def __init__(
        self,
        remote: RemoteState,
        local: LocalState,
        convention: Convention,
        choices: Mapping[str, Choices],
    ) -> None:
        self.remote, self.choices = remote, choices
        former = tuple(convention.former_accounts)
        accounts = frozenset({remote.account, *former})
        self.nobody = accounts | frozenset(convention.helper_accounts)
        self.identity: Identity = self._identify(local, convention, former)
        self.others: Others
        self.local, self.others = split_others(local, convention.platform, self.is_chat)
        self.naming: Naming = index_rows(self.local, convention.platform, self.others.numbers)
        self.context = Context(accounts, convention, self.naming)
        self.blocks: dict[str, list[Block]] = {}  # by unit
        self.awaited: set[str] = set()  # users of whom something could not be read
        self.unsafe: set[str] = set()  # chats whose row points at a room that may need it
        self.tied: dict[str, tuple[str, ...]] = {}  # chat -> Spaces of one owner that share it
        self.owners = {space: self._find_owner(space) for space in self.identity.user_spaces}
        self.groups = self._group()
        self._place_linked()
        self.called = called_chats(self.identity, self.local)
        self.open: dict[str, list[Group]] = defaultdict(list)  # by owner whom rows vouch for
        for group in self.groups:
            if group.owner and group.answer.vouched:
                self.open[group.owner].append(group)
        self.unread = Unread(remote, local, self.identity, self.naming, self.nobody)
        for group in self.groups:
            self._resolve(group)
        self._hold_back()
        self.contested = self._contested()
        self._block_moves()

    def _identify(
        self, local: LocalState, convention: Convention, former: tuple[str, ...]
    ) -> Identity:
        # Asked only where Spaces lie in each other: no other world pays for it.
        @cache
        def named() -> Mapping[str, list[str]]:
            found: dict[str, list[str]] = defaultdict(list)
            for user, row in local.users.items():
                found[row.space_id].append(user)
            for user, choice in self.choices.items():  # which is what the row will say
                if choice.space_id and user.startswith("@"):
                    found[choice.space_id].append(user)
            return found

        @cache
        def rows() -> Naming:
            return index_rows(local, convention.platform)

        def tells_id(versions: tuple[RoomState, ...]) -> bool:
            if any(v.room_id in local.rooms or rows().names(v.room_id) for v in versions):
                return True
            context = Context(frozenset({self.remote.account, *former}), convention, rows())
            return bool(find_chat_id(versions, "", None, context).claims)

        rooms = local.rooms.items() if self.remote.unreadable else ()
        claimed = {room_id: row.space_id for room_id, row in rooms}
        told = Told(claimed, named, tells_id, self.nobody, former)
        return resolve_identity(self.remote, self.choices, told)

    def is_chat(self, room_id: str) -> bool:
        """Whether it is a version of a room that is one of our chats."""
        head = self.identity.lineage.head(room_id)
        return head in self.remote.rooms and head not in self.identity.reasons

    def block(self, unit: str, block: Block) -> None:
        """Stop a unit; one conflict of a kind is enough."""
        blocks = self.blocks.setdefault(unit, [])
        if all(block.code is not other.code for other in blocks):
            blocks.append(block)

    @cached_property
    def group_of(self) -> dict[str, Group]:
        """By chat; a world in sync never asks."""
        return {chat: group for group in self.groups for chat in group.chats}

    def _find_owner(self, space: str) -> Owner:
        chats = self._below(space).values()
        versions = self.identity.versions(space)
        answer = find_owner(versions, chats, self.naming, self.nobody)
        if not self.choices:
            return answer
        user = answer.user_id if answer.solid else None
        asked = [space, *self._below(space), user or ""]
        chosen = {self.choices[u].owner for u in asked if u in self.choices} - {None}
        if len(chosen) != 1:
            return answer
        return find_owner(versions, chats, self.naming, self.nobody, chosen.pop())

    def _group(self) -> list[Group]:
        """Spaces of one certain owner together; every other Space by itself."""
        certain: dict[str, list[str]] = defaultdict(list)
        for space, answer in self.owners.items():
            if answer.certain and answer.user_id:
                certain[answer.user_id].append(space)
        groups = [
            Group(owner, tuple(spaces), self.owners[spaces[0]]) for owner, spaces in certain.items()
        ]
        for space, answer in self.owners.items():
            if not answer.certain:
                shared = self._shared(space, answer)
                groups.append(Group(answer.user_id, (space,), answer, shared=shared))
        for group in groups:
            for space in group.spaces:
                group.chats |= self.identity.chats[space]
                group.chats |= self._admit_archived(space, group)
        return groups

    def _below(self, space: str) -> dict[str, tuple[RoomState, ...]]:
        """The chats of a Space, and the rooms in its archives, which may be some."""
        chats, archived = self.identity.chats[space], self.identity.archived.get(space)
        return chats | archived if archived else chats

    def _admit_archived(self, space: str, group: Group) -> dict[str, tuple[RoomState, ...]]:
        """Rooms in an archive are chats if something certain says their id (rules 2.4).

        While the owner isn't certain, anybody's row does: it may be the owner's.
        """
        found: dict[str, tuple[RoomState, ...]] = {}
        for room_id, versions in self.identity.archived.get(space, {}).items():
            owners = {group.owner or ""}
            if not group.answer.certain:
                owners |= self.naming.owners((), ids(versions))
            if any(find_chat_id(versions, who, None, self.context).claims for who in owners):
                found[room_id] = versions
            else:
                self.identity.reasons[room_id] = Reason.NO_SPACE
        return found

    def _shared(self, space: str, answer: Owner) -> bool:
        """Whether the proposed owner has another Space; a mere guess about one takes no part."""
        return answer.user_id is not None and any(
            other.user_id == answer.user_id and other.solid
            for other_space, other in self.owners.items()
            if other_space != space
        )

    def _place_linked(self) -> None:
        """Chats that several Spaces list: one owner's all the same, or nobody's (rules 2.5)."""
        of_owner = {group.owner: group for group in self.groups if group.answer.certain}
        for chat, spaces in sorted(self.identity.linked.items()):
            users = {self._certain_owner(space) for space in spaces}
            group = of_owner.get(next(iter(users))) if len(users) == 1 else None
            if group:
                group.chats[chat] = self.identity.versions(chat)
                self.tied[chat] = spaces

    def _certain_owner(self, space: str) -> str | None:
        answer = self.owners[space]
        return answer.user_id if answer.certain else None

    def _resolve(self, group: Group) -> None:
        """Which of the owner's Spaces counts, and which chat each room is."""
        group.space = self._choose_space(group)
        if group.owner and not group.shared:
            beside = self._open_chats(group)
            claims = self._open_claims(group, beside)
            if self.remote.unreadable:
                claims |= self.unread.claims(group.owner, group.spaces, self.context)
            group.found = find_chat_ids(
                group.chats, group.owner, group.space, self.context, self.choices, claims, beside
            )
            self._spare_others(group, group.owner)
        if not group.answer.certain:
            owner = group.answer
            block = Block(
                owner.code or Code.OWNER_UNKNOWN, owner.cause, group.owner, owner.candidates
            )
            for unit in (group.unit, *group.chats):
                self.block(unit, block)
        if group.space is None:
            tied = Block(Code.MULTIPLE_SPACES, _SPACES_TIED, None, group.spaces)
            for unit in (group.unit, *group.chats):
                self.block(unit, tied)
        elif outward := self._repaired_outward(group):
            self.block(group.unit, outward)
        several = len(group.spaces) > 1
        for chat, answer in group.found.items():
            if several and group.space and group.space not in self.spaces_of(chat, group):
                self.block(
                    chat, Block(Code.MULTIPLE_SPACES, _OTHER_SPACE, group.space, group.spaces)
                )
            if answer.code:
                block = Block(answer.code, answer.cause, answer.chat_id, rivals=answer.rivals)
                self.block(chat, block)

    def _repaired_outward(self, group: Group) -> Block | None:
        """A user row is never repaired from an inner Space to an outer one (rules 2.4)."""
        row = self.local.users.get(group.owner or "")
        if row is None or self.choices.get(group.owner or "", NO_CHOICES).space_id == group.space:
            return None
        named = self.identity.lineage.head(row.space_id)
        if named not in self.identity.nesting.inside.get(group.space or "", ()):
            return None
        inner = group.space or ""
        cause = _OUTWARD.format(quote_odd(named), quote_odd(inner))
        return Block(Code.MULTIPLE_SPACES, cause, None, (inner,))

    def _spare_others(self, group: Group, owner: str) -> None:
        """A row of another platform keeps the key that it stands under (rules 1)."""
        for chat, answer in group.found.items() if self.others.keys else ():
            key = chat_key(owner, answer.chat_id or "")
            if key in self.others.keys:
                group.found[chat] = msgspec.structs.replace(
                    answer,
                    code=Code.DUPLICATE_CHAT_ID,
                    cause=_OTHERS_ROW.format(quote_odd(key), answer.chat_id),
                    free=False,
                )

    def _open_chats(self, group: Group) -> dict[str, tuple[RoomState, ...]]:
        """The chats of Spaces that may be the same owner's, as rows say."""
        open_ = self.open.get(group.owner or "", ())
        return {chat: versions for other in open_ for chat, versions in other.chats.items()}

    def _open_claims(
        self, group: Group, beside: Mapping[str, tuple[RoomState, ...]]
    ) -> dict[str, ChatId]:
        """What those hold."""
        return {
            chat: find_chat_id(versions, group.owner or "", None, self.context)
            for chat, versions in beside.items()
        }

    def spaces_of(self, chat: str, group: Group) -> tuple[str, ...]:
        if chat in self.tied:
            return self.tied[chat]
        return tuple(space for space in group.spaces if chat in self._below(space))

    def _choose_space(self, group: Group) -> str | None:
        """Rules 3, "Two Spaces for one user"."""
        choice = self.choices.get(group.owner or "", NO_CHOICES).space_id
        if choice in group.spaces:
            return choice
        if self.identity.nesting.undecided.intersection(group.spaces):
            return None
        if len(group.spaces) == 1:
            return group.spaces[0]
        if any(
            self.unread.concerns(group.owner, group.spaces, unread)
            for unread in self.remote.unreadable
        ):
            return None  # it could be a chat of any of them
        used = {space for chat in group.chats for space in self.spaces_of(chat, group)}
        if len(used) == 1:
            return used.pop()
        heads = {v.room_id: space for space in group.spaces for v in self.identity.versions(space)}
        if (row := self.local.users.get(group.owner or "")) and row.space_id in heads:
            return heads[row.space_id]
        rows = [self.local.rooms.get(v.room_id) for chat in group.chats.values() for v in chat]
        named = {heads.get(row.space_id) for row in rows if row}
        return named.pop() if len(named) == 1 else None

    def _hold_back(self) -> None:
        """Owners to whom an unreadable room may belong (rules 2.9)."""
        for unread in sorted(self.remote.unreadable):
            self.awaited |= self.unread.named[unread]
            for group in self.groups:
                if not self.unread.concerns(group.owner, group.spaces, unread):
                    continue
                if group.owner and group.answer.solid:
                    self.awaited.add(group.owner)
                block = Block(Code.ROOM_UNREADABLE, _HELD.format(quote_odd(unread)))
                self.block(group.unit, block)
                for chat, answer in group.found.items():
                    if answer.evidence.rung not in _LOCAL_RUNGS:
                        self.block(chat, block)
        for group in self.groups if self.remote.unreadable else ():
            self._stop_unknown_past(group)

    def _stop_unknown_past(self, group: Group) -> None:
        """A Space or chat that goes on from an unreadable room inherits what nobody knows."""
        stopped = {
            unit: unread
            for space in group.spaces
            if (unread := self.unread.past(self.identity.versions(space)))
            for unit in (group.unit, *group.chats)
        } | {
            chat: unread
            for chat, versions in group.chats.items()
            if (unread := self.unread.past(versions))
        }
        for unit, unread in stopped.items():
            self.block(unit, Block(Code.ROOM_UNREADABLE, _PAST.format(quote_odd(unread))))
        if stopped and group.owner and group.answer.solid:
            self.awaited.add(group.owner)

    def _contested(self) -> dict[str, tuple[str, Block]]:
        """Rows that speak for somebody in a Space whose owner isn't certain: key -> Space, conflict.

        They are evidence there; repairing one for another unit would settle that conflict unasked.
        """
        found: dict[str, tuple[str, Block]] = {}
        for space, answer in self.owners.items():
            if answer.certain or not answer.code:
                continue
            rooms = [v.room_id for c in self._below(space).values() for v in c]
            block = Block(answer.code, _CONTESTED.format(quote_odd(space)))
            for key, _ in self.naming.owner_keys(ids(self.identity.versions(space)), rooms):
                found[key] = (space, block)
        return found

    def _block_moves(self) -> None:
        """A chat row may leave another room only if that room is certainly another chat (rules 3).

        A room that is stopped here may be the one that a further row points at: repeat until nothing
        changes.
        """
        moves = [move for group in self.groups for move in self._moves(group)]
        changed = True
        while changed:
            changed = False
            for chat, chat_id, target in moves:
                if self.blocks.get(chat) or not self._may_hold(target, chat_id, chat):
                    continue
                changed = True
                for room, other in ((chat, target), (target, chat)):
                    if not self._is_picked(room):  # a person has settled that one
                        cause = _MOVE.format(chat_id, quote_odd(other))
                        code = Code.DUPLICATE_CHAT_ID
                        self.block(room, Block(code, cause, chat_id, rivals=(other,)))
        self.unsafe = {chat for chat, id_, target in moves if self._may_hold(target, id_, chat)}

    def _moves(self, group: Group) -> Iterable[tuple[str, str, str]]:
        """(room, its chat id, the other room that its chat row points at)."""
        for chat, answer in group.found.items():
            if answer.recorded or not answer.chat_id or not group.owner:
                continue
            if answer.evidence.rung is Rung.CHOICE:
                continue
            row = self.local.chats.get((group.owner, answer.chat_id))
            if row and row.surface_ref != chat and self.remote.joined(row.surface_ref):
                target = self.identity.lineage.head(row.surface_ref)
                if target != chat:
                    yield chat, answer.chat_id, target

    def _may_hold(self, target: str, chat_id: str, chat: str) -> bool:
        if self.blocks.get(target) or target in self.remote.unreadable:
            return True
        if target in self.identity.unproven or target in self.called:
            return True
        if target in self.identity.linked and target not in self.tied:
            return True
        group = self.group_of.get(target)
        if group is None:
            return False
        # A room that another id is picked for claims its old one until that is written.
        answer = group.found[target]
        claimed = {answer.chat_id, *(id_ for id_, _ in answer.claims)}
        same = group is self.group_of[chat] and chat_id in claimed
        return same or self._row_unreadable(group, target)

    def _is_picked(self, chat: str) -> bool:
        group = self.group_of.get(chat)
        answer = group.found.get(chat) if group else None
        return answer is not None and answer.evidence.rung is Rung.CHOICE

    def _row_unreadable(self, group: Group, chat: str) -> bool:
        keys = [room_key(version.room_id) for version in group.chats[chat]]
        keys.append(chat_key(group.owner or "", group.found[chat].chat_id or ""))
        return any(key in self.local.unreadable for key in keys)


_SPACES_TIED = (
    "the bot made several Spaces for this user, and neither their chats nor the local rows tell which "
    "one counts: a reset made a new Space beside the old one, or one is an archive of the other"
)
_OTHER_SPACE = "the room hangs below another Space of the same user than the one that counts"
_OUTWARD = (
    "the user row names Space {0}, which lies in Space {1}: both may be the user's, and nothing tells which "
    "one counts"
)
_OTHERS_ROW = (
    "a row of another platform stands under {0}, which this chat needs: give one of the two another id "
    "than {1}"
)
_HELD = "room {} could not be read, and it may hold one of this user's chat ids; try again"
_PAST = "it goes on from room {}, or hangs below it, which could not be read; try again"
_CONTESTED = "the row also speaks for Space {}, whose owner isn't certain; settle that first"
_MOVE = (
    "both this room and {1} may be {0}, and the chat row points at only one of them; moving the row "
    "would take away the other's proof"
)
