"""What holds an access token, or a database's password, stays in its process.

Pickles go to other processes and machines, into caches and logs. Whoever sends work elsewhere sends the
settings, and where the token comes from (`toolkit.fleet`).
"""

from typing import NoReturn


class StaysHere:
    """Refuses to be pickled, or copied by way of a pickle."""

    __slots__ = ()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} may hold an access token or a password, and isn't pickled: send the "
            "settings, and where the token comes from, as toolkit.fleet does."
        )
