"""Users as they are told apart in a column: by the localpart, or whole where that could be two. Pure."""

from collections.abc import Iterable, Mapping


def short_names(users: Iterable[str]) -> Mapping[str, str]:
    """Of each user a name that is nobody else's among them.

    >>> short_names(["@alice:hs", "@bob:hs", "@bob:other", "odd"])
    {'@alice:hs': 'alice', '@bob:hs': '@bob:hs', '@bob:other': '@bob:other', 'odd': 'odd'}
    """
    first: dict[str, str] = {}
    shared: set[str] = set()
    users = dict.fromkeys(users)
    for user in users:
        if first.setdefault(_localpart(user), user) != user:
            shared.add(_localpart(user))
    return {user: user if (part := _localpart(user)) in shared else part for user in users}


def _localpart(user: str) -> str:
    """Of what is no user's id, or has none, all of it."""
    part, colon, _ = user[1:].partition(":")
    return part if part and colon and user[0] == "@" else user
