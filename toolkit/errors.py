"""Everything that the toolkit raises on purpose.

    ToolkitError
    ├── HomeserverError      the list of rooms can't be had
    │   └── TokenRefused     as the access token isn't accepted
    ├── RemoteIncomplete     it can, but not enough of the rooms
    ├── StoreError           the database can't be read or written
    │   └── NoDatabase       it isn't there, or has no table yet
    ├── SnapshotError        a snapshot or decisions file can't be used
    ├── ConventionError      a setting makes no sense
    └── RefusedCall          something that may only read was asked to write

A message says what was being done, what happened and what to try. None ever carries a token.
"""


class ToolkitError(Exception):
    """The base of all errors below; one clear sentence for a person."""


class HomeserverError(ToolkitError):
    """The homeserver can't be asked, or refuses to say which rooms the account is in."""


class TokenRefused(HomeserverError):
    """The homeserver doesn't accept the access token: to ask again is of no use."""


class RemoteIncomplete(ToolkitError):
    """The remote side was read, but not completely: nothing may be decided from it (rules 2.9)."""


class StoreError(ToolkitError):
    """The local database, or one row of it, can't be read or written."""


class NoDatabase(StoreError):
    """There is no such file yet, or nothing is in it: a start of the bot would make it."""


class SnapshotError(ToolkitError):
    """A snapshot or decisions file is missing, damaged or of a foreign kind."""


class ConventionError(ToolkitError, ValueError):
    """A convention or option has a value that can't work."""


class RefusedCall(ToolkitError):
    """A guarded client or store was asked for something else than a read."""
