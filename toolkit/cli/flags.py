"""Options that several commands of `matrix-drift` share, and nothing of what they do."""

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
Option = Callable[[F], F]


def complete(what: str) -> Callable[..., Any]:
    """What a shell completes for an argument, which is found out when one asks."""

    def complete(context: click.Context, parameter: click.Parameter, begun: str) -> list[Any]:
        from toolkit.cli import completion

        find: Callable[..., list[Any]] = getattr(completion, f"complete_{what}")
        return find(context, parameter, begun)

    return complete


PATH = click.Path(path_type=Path, dir_okay=False)


def together(*options: Option[Any]) -> Option[Any]:
    """Several options as one decorator, shown in `--help` in this order."""
    return lambda command: reduce(lambda done, option: option(done), reversed(options), command)


local = together(
    click.option(
        "--database",
        envvar="BOT_DATABASE",
        help="The bot's SQLite file, or postgresql://… [BOT_DATABASE].",
    ),
    click.option("--table", help="Its table; kv unless told otherwise."),
    click.option("--key-column", help="The table's key column; key."),
    click.option("--value-column", help="The table's value column; value."),
)
address = click.option(
    "--homeserver",
    envvar="MATRIX_HOMESERVER",
    help="Its address, such as https://matrix.example.org [MATRIX_HOMESERVER].",
)
reading = together(
    click.option(
        "--sliding-sync/--no-sliding-sync",
        default=None,
        help="Read all rooms in few requests where the homeserver can.  [default: yes]",
    ),
    click.option(
        "--deadline",
        type=click.FloatRange(min=0, min_open=True),
        help="Give up after so many seconds.",
    ),
)
remote = together(
    address,
    click.option(
        "--allow-empty",
        is_flag=True,
        help="Believe a homeserver that lists no room, or hardly one that the rows name.",
    ),
    reading,
)
accounts = together(
    click.option(
        "--helper-account",
        "helper_accounts",
        multiple=True,
        help="A user who never owns a chat; may be repeated.",
    ),
    click.option(
        "--former-account",
        "former_accounts",
        multiple=True,
        help="An account that the bot had before this one; may be repeated.",
    ),
)
convention = together(
    click.option(
        "--room-name-pattern",
        "room_name_patterns",
        multiple=True,
        help="How chats are called, such as 'Chat {n}'; may be repeated.",
    ),
    click.option("--default-room-name", help="Display name of a chat whose room has none."),
    click.option("--state-event-type", help="The bot's own state event with the field chat_id."),
    accounts,
    click.option("--platform", help="What chat rows say in `platform`; matrix."),
)
new = click.option(
    "--new-database",
    "allow_new",
    is_flag=True,
    help="Look at a database that isn't there, or has no table yet, as empty.",
)
snapshot = click.option("--snapshot", type=PATH, help="Look at this file instead of the two sides.")
view = together(
    click.option(
        "--status",
        "statuses",
        multiple=True,
        type=click.Choice(("missing", "mismatched", "conflict")),
        help="Show only what stands so; may be repeated.",
    ),
    click.option(
        "--user",
        "users",
        multiple=True,
        metavar="USER",
        help="Show only what is, or may be, this user's; may be repeated.",
    ),
    click.option(
        "--code",
        "codes",
        multiple=True,
        metavar="CODE",
        help="Show only what has this code, such as owner_left; may be repeated.",
    ),
    click.option(
        "--room",
        "rooms",
        multiple=True,
        metavar="ROOM",
        help="Show only what is about this room; may be repeated.",
    ),
    click.option(
        "--summary/--no-summary",
        default=None,
        help="Show one line per cause.  [default: on a terminal, beyond a screenful]",
    ),
)
lower = click.option(
    "--lower-counters",
    is_flag=True,
    help="Also lower a next_chat_index that is too high; only while the bot is stopped.",
)
backup = click.option("--backup-dir", help="Where backups go; beside the database.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
max_changes = click.option(
    "--max-changes",
    type=click.IntRange(min=0),
    metavar="N",
    help="Write nothing if that would be more than N rows.",
)
yes = click.option("--yes", is_flag=True, help="Don't ask.")
debug = click.option(
    "--debug", is_flag=True, expose_value=False, help="Show a traceback with an error."
)
