"""Which row is the right one of a room in sync. Pure."""

from toolkit.model import Code, Plan
from toolkit.planning.links.rows import LinkRow, LinkState


def find_right_rows(plan: Plan, links: LinkState) -> dict[str, LinkRow]:
    """Room -> its row, of rooms in sync; a further row that names such a room, or one of several of an id, isn't it."""
    surplus = {note.key for note in plan.notes if note.code is Code.SURPLUS_ROW}
    return {
        room: row
        for room in plan.in_sync_rooms
        for row in links.pointing.get(room, ())
        if row.key not in surplus and row.id not in links.repeated
    }
