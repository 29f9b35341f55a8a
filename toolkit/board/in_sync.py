"""What nobody has to decide about: rooms and user rows in sync, and rooms that are skipped. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from toolkit.model import Plan, Reason, RemoteState
from toolkit.records import LocalState
from toolkit.text.visible import visible

IN_SYNC = "in sync"
SKIPPED = "skipped"

_WHY = {
    Reason.SPACE: "it is a Space",
    Reason.TOMBSTONED: "another room replaces it",
    Reason.REPLACEMENT_NOT_JOINED: "a room that the bot isn't in replaces it",
    Reason.NOT_CREATED_BY_BOT: "the bot didn't create it",
    Reason.NO_SPACE: "it is in no Space",
}


@dataclass(frozen=True, slots=True)
class Quiet:
    """One line without buttons; `unit` is the id as it is, the rest is visible."""

    unit: str
    status: str
    id: str
    owner: str
    name: str
    chat_id: str
    cause: str


def list_quiet(plan: Plan, local: LocalState, remote: RemoteState) -> list[Quiet]:
    """In sync first, then skipped."""
    return [
        *_users(plan),
        *_rooms(plan, local, remote),
        *(
            Quiet(
                skip.room_id,
                SKIPPED,
                visible(skip.room_id),
                "",
                _name(remote, skip.room_id),
                "",
                _WHY.get(skip.reason, skip.reason.value.replace("_", " ")),
            )
            for skip in plan.skipped
        ),
    ]


def _users(plan: Plan) -> Iterator[Quiet]:
    for user in plan.in_sync_users:
        told = visible(user)
        yield Quiet(user, IN_SYNC, told, told, "", "", "its user row is right")


def _rooms(plan: Plan, local: LocalState, remote: RemoteState) -> Iterator[Quiet]:
    for room_id in plan.in_sync_rooms:
        row = local.rooms.get(room_id)
        owner, chat_id = (row.matrix_user_id, row.chat_id) if row else ("", "")
        yield Quiet(
            room_id,
            IN_SYNC,
            visible(room_id),
            visible(owner),
            _name(remote, room_id),
            visible(chat_id),
            "its rows are right",
        )


def _name(remote: RemoteState, room_id: str) -> str:
    room = remote.rooms.get(room_id)
    return visible((room.name if room else None) or "")
