"""Where a room can be opened: addresses for a person, made of what a homeserver said. Pure."""

from urllib.parse import quote


def room_link(room_id: str, account: str) -> str:
    """A room as https://matrix.to opens it (Matrix spec, "matrix.to navigation"): in the reader's own client.

    An id alone can't be found by a server that isn't in the room, so the account's is named as one that is.

    >>> room_link("!abc:example.org", "@bot:example.org:8448")
    'https://matrix.to/#/!abc%3Aexample.org?via=example.org%3A8448'
    """
    _, _, server = account.partition(":")
    return f"https://matrix.to/#/{_encode(room_id)}?via={_encode(server)}"


def _encode(text: str) -> str:
    """Everything but what the spec's own examples leave as it is; what is no UTF-8 can't be asked for."""
    return quote(text, safe="!", errors="replace")
