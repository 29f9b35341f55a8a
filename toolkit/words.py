"""What the faces call things for a bot of one shape or the other: a plan carries the words of its bot. Pure."""

from collections.abc import Mapping, Sequence

import msgspec


class Words(msgspec.Struct, frozen=True):
    """Parts of sentences. `table` is the table of links, empty for shape chats; `rows` heads the count of
    user rows, where there are any.

    `parts` are the columns of a composite id, and `owner` says whether anything tells whose a room is.
    """

    table: str = ""
    parts: tuple[str, ...] = ()
    owner: bool = True
    id: str = "chat id"
    column: str = "Chat"
    typed: str = "Chat id, owner or Space"
    person: str = "user"
    thing: str = "chat"
    nobody: str = "nobody yet"
    rooms: str = "Chats"
    rows: str = "User rows"
    is_right: str = "its rows are right"
    are_right: str = "the rows are right"
    left_out: str = "no chats"
    whole: str = "every {}chat has its rows"
    right: str = ", and they are right"
    nothing: str = "there are no {}chats"
    lacking: str = " that could lack anything"
    skipped: str = "Skipped rooms, which are no chats"
    no_room: str = "it is no chat"
    uncompared: str = (
        "Rows speak of chats that nothing could be compared with, so this isn't called in sync"
    )

    def ids(self, chat_id: str | None, space_id: str | None, row: str) -> Mapping[str, str | None]:
        """What names a unit, as JSON calls it."""
        if self.table:
            return {"id": chat_id, "row": row}
        return {"chat_id": chat_id, "space_id": space_id}


CHATS = Words()


def link_words(table: str, ids: Sequence[str] = ("id",), *, owner: bool = False) -> Words:
    """The words for a bot whose rows in this table link an id to a room.

    >>> link_words("tickets").whole.format("other ")
    'every other room has its row of tickets'
    """
    told = table.replace("{", "{{").replace("}", "}}")
    return Words(
        table=table,
        parts=tuple(ids) if len(ids) > 1 else (),
        owner=owner,
        id="id",
        column="Id",
        typed=f"Id of a row of {table}",
        person="owner",
        thing="room",
        nobody=table,
        rooms="Rooms",
        rows="",
        is_right="its row is right",
        are_right="the row is right",
        left_out="not compared",
        whole=f"every {{}}room has its row of {told}",
        right=", and it is right",
        nothing="there are no {}rooms",
        lacking=f" that could lack a row of {table}",
        skipped="Skipped rooms, which aren't compared",
        no_room="it isn't compared",
        uncompared=(
            f"Rows of {table} name rooms that nothing could be compared with, so this isn't called in sync"
        ),
    )
