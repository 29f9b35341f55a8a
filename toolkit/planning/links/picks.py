"""What a person may pick for a room of shape links: an id as a text, in the form that the planner takes. Pure."""

import json
from collections.abc import Sequence

from toolkit.model import Choices
from toolkit.planning.links.claims import read_id
from toolkit.planning.links.rows import LinkState
from toolkit.quotes import quote_id
from toolkit.records import encode_list


def picked_id(parts: Sequence[object]) -> str:
    """The parts of an id as the text that picks it.

    >>> picked_id(["7"]), picked_id(["a:b", ""])
    ('7', '["a:b",""]')
    """
    told = [str(part) for part in parts]
    return told[0] if len(told) == 1 else encode_list(told)


def why_no_pick(links: LinkState, picked: Choices) -> str:
    """Why this can't be picked for any room; nothing if it can."""
    if picked.owner is not None or picked.space_id is not None or picked.lower_counter:
        return (
            f"of a row of {links.table.table} only its id can be picked, or that it be overwritten"
        )
    if picked.chat_id is None or read_id(picked.chat_id, links) is not None:
        return ""
    columns = zip(links.table.ids, links.integers, strict=True)
    told = [f"{name} ({'a whole number' if whole else 'a text'})" for name, whole in columns]
    form = told[0] if len(told) == 1 else f"the parts {', '.join(told)}, {_FORM}"
    return f"{quote_id(picked.chat_id)} is no id of {links.table.table}: it must be {form}"


_FORM = f"each by itself or as {json.dumps(['…', '…'], ensure_ascii=False)}"
