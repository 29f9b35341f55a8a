"""The local rows at one moment, from whatever store there is."""

from collections.abc import Hashable

import msgspec

from toolkit.database.contract import Store, transactional
from toolkit.database.foreign_table import refusal, why_no_objects
from toolkit.errors import StoreError
from toolkit.layout import TableFacts
from toolkit.records import FAMILIES, Names, Raw, encode_row

MANY_NAMES = 40  # to look for more of them in every row costs more than to read every row


class Look(msgspec.Struct, frozen=True):
    """The local rows at one moment: all of the three families, or those `about` some names.

    `token` tells whether anybody wrote since, while the same store stays open; None can't tell.
    `made` is where the store has just made the database, if it did and nothing is in it yet. `facts` are what
    it says of a table of links.
    """

    rows: dict[str, Raw]
    token: Hashable = None
    about: Names | None = None
    made: str = ""
    facts: TableFacts = TableFacts()

    def covers(self, names: Names | None) -> bool:
        """Whether every row that concerns these names is here, if there is one; None are all."""
        return self.about is None or (names is not None and names <= self.about)


async def load_look(store: Store, about: Names | None = None) -> Look:
    """Read all rows of the three families as of one moment (a plain store: as near as it can).

    With `about` only those that concern these names, where a store can tell and they aren't too many.

    Raises `StoreError` where nothing can be read, also for rows that aren't JSON objects at all.
    """
    if transactional(store):
        if about and len(about.rooms) + len(about.users) > MANY_NAMES:
            about = None
        token = await store.version()  # before the rows: a write in between shows
        rows = dict(await store.load_rows(about))
        made = store.name if store.made and not rows else ""
        return Look(rows, token, about, made, store.facts)
    try:
        keys = [key for family in FAMILIES for key in sorted(await store.keys(family))]
        rows = {key: await load_row(store, key) for key in keys}
    except Exception as error:  # the bot's own code may raise anything
        raise StoreError(
            f"The bot's store raised {type(error).__name__} while it was read; nothing was written."
        ) from error
    if why := why_no_objects((key, raw) for key, raw in rows.items() if raw is not None):
        raise StoreError(refusal("the bot's store", why))
    return Look(rows)


async def load_row(store: Store, key: str) -> Raw:
    """A plain store's row as text; one that it can't read as a text that is no JSON, so it shows.

    A store of the bot's own says so in its own way, most likely with json's ValueError.
    """
    try:
        row = await store.get(key)
        return None if row is None else encode_row(row)
    except (StoreError, ValueError) as error:
        return f"unreadable: {error}"
