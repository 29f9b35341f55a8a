"""Everything that the toolkit raises on purpose.

    ToolkitError
    ├── HomeserverError      the list of rooms can't be had
    │   └── TokenRefused     as the access token isn't accepted
    ├── RemoteIncomplete     it can, but not enough of the rooms
    ├── StoreError           the database can't be read or written
    │   ├── NoDatabase       it isn't there, or has no table yet
    │   └── OutcomeUnknown   nobody knows whether it was: the answer to COMMIT was lost
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
    """The local database, or one row of it, can't be read or written.

    `concerns_all` says that no other row would fare better: a full disk, a lost connection.
    """

    def __init__(self, *args: object, concerns_all: bool = False) -> None:
        super().__init__(*args)
        self.concerns_all = concerns_all


class NoDatabase(StoreError):
    """There is no such file yet, or nothing is in it: a start of the bot would make it."""


class OutcomeUnknown(StoreError):
    """The answer to COMMIT was lost: everything is written, or nothing; the transaction can be asked."""

    def __init__(self, *args: object, concerns_all: bool = True) -> None:
        super().__init__(*args, concerns_all=concerns_all)


class SnapshotError(ToolkitError):
    """A snapshot or decisions file is missing, damaged or of a foreign kind."""


class ConventionError(ToolkitError, ValueError):
    """A convention or option has a value that can't work."""


class RefusedCall(ToolkitError):
    """A guarded client or store was asked for something else than a read."""
