"""What a shell completes: commands and options by click, units and runs by what lies on this machine.

No homeserver is asked, no token, and nothing is said: behind a half-typed word only answers have a place.
"""

import contextlib
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    shell_complete,
    split_arg_string,
)

from toolkit.cli.output import unread
from toolkit.database.address import is_server
from toolkit.sources.settings import TABLE, load_settings

if TYPE_CHECKING:
    from toolkit.layout import Layout

VARIABLE = "_MATRIX_DRIFT_COMPLETE"
_NAME = "matrix-drift"
_HARMLESS = re.compile(r"[@!]?[A-Za-z0-9_-][A-Za-z0-9._=/+:-]*")
_JOURNAL = 8_000_000  # bytes; a longer one takes its time

_BASH = r"""# matrix-drift completion bash
%(complete_func)s() {
    local line="${COMP_LINE:0:COMP_POINT}" word cut="" sign item kind value
    word="${line##*[[:space:]]}"
    # Ids hold signs at which bash breaks words: what stands before the last of them is there already.
    if [[ $word != [\'\"]* ]]; then
        for sign in @ : =; do
            [[ $COMP_WORDBREAKS == *"$sign"* && $word == *"$sign"* ]] || continue
            item="${word%%"${word##*"$sign"}"}"
            [[ ${#item} -gt ${#cut} ]] && cut="$item"
        done
    fi
    COMPREPLY=()
    while IFS=, read -r kind value; do
        case $kind in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain)
                value="${value#"${cut#\\}"}"
                # Unquoted, a room would be looked for in the history.
                [[ $word != [\'\"]* && $value == !* ]] && value="\\$value"
                COMPREPLY+=("$value") ;;
        esac
    done < <(COMP_WORDS="$line" %(complete_var)s=bash_complete "$1" 2>/dev/null)
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class _Bash(BashComplete):
    """click's own takes words as bash has broken them, at each `@` and `:` of an id."""

    source_template = _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ["COMP_WORDS"]
        words = split_arg_string(line)
        begun = words.pop() if words and not line[-1:].isspace() else ""
        return words[1:], begun


SHELLS: Mapping[str, type[ShellComplete]] = {
    "bash": _Bash,
    "zsh": ZshComplete,
    "fish": FishComplete,
}


def print_script(program: click.Command, shell: str) -> int:
    """The script for a shell's own start-up file."""
    with unread(sys.stdout):
        click.echo(SHELLS[shell](program, {}, _NAME, VARIABLE).source(), nl=False)
    return 0


def answer(program: click.Command, asked: str) -> int:
    """What a shell's script asks for."""
    with contextlib.suppress(Exception):
        add_completion_class(_Bash)
        shell_complete(program, {}, _NAME, VARIABLE, asked)
    return 0


def complete_units(
    context: click.Context, parameter: click.Parameter, begun: str
) -> list[CompletionItem[Any]]:
    """Users and rooms of the database, and units that were decided about or written."""
    from toolkit.database.names import local_names, mapped_names
    from toolkit.database.sql import Table
    from toolkit.decisions.ledger_file import load_beside

    names: set[str] = set()
    database, snapshot, table, layout = _where(context)
    with contextlib.suppress(Exception):
        names.update(load_beside(snapshot or database).votes)
    if database is not None and snapshot is None:
        names.update(entry.unit for run in _runs(database) for entry in run.entries)
        if layout is not None and layout.mapped:
            names.update(mapped_names(database, layout, begun))
        else:
            names.update(local_names(database, Table(*table), begun))
    return _items(sorted(names.difference(context.params.get("units") or ())), begun)


def complete_ids(
    context: click.Context, parameter: click.Parameter, begun: str
) -> list[CompletionItem[Any]]:
    """Ids of a bot's own table of links; the next part of one that has several."""
    from toolkit.database.names import local_ids

    database, _, _, layout = _where(context)
    if database is None or layout is None or not layout.links:
        return []
    before = context.params.get("ids") or ()
    return _items(local_ids(database, layout, before, begun), begun)


def complete_runs(
    context: click.Context, parameter: click.Parameter, begun: str
) -> list[CompletionItem[Any]]:
    """The runs of the journal, the latest first."""
    database, *_ = _where(context)
    return _items((run.id for run in reversed(_runs(database))) if database else (), begun)


def _items(names: Iterable[str], begun: str) -> list[CompletionItem[Any]]:
    """What a stranger may have named is put into somebody's command line: nothing that a shell acts on."""
    fit = (name for name in names if name.startswith(begun) and _HARMLESS.fullmatch(name))
    return [CompletionItem(name) for name in fit]


def _where(
    context: click.Context,
) -> "tuple[Path | None, Path | None, list[str], Layout | None]":
    """Database, snapshot, the names of its table and columns, and its mapping: as a command would take them."""
    known: dict[str, Any] = {}
    with contextlib.suppress(Exception):
        known = load_settings()
    given = {name: value for name, value in context.params.items() if value is not None}
    named = {"table": "kv", "key_column": "key", "value_column": "value", **known, **given}
    database, snapshot = named.get("database"), named.get("snapshot")
    if database and is_server(database):  # a key that is pressed asks nobody
        database = None
    table = [named[name] for name in TABLE]
    return database and Path(database), snapshot and Path(snapshot), table, named.get("layout")


def _runs(database: Path) -> list[Any]:
    from toolkit.database.journal import Journal

    with contextlib.suppress(Exception):
        journal = Journal(database)
        if journal.path.stat().st_size <= _JOURNAL:
            return journal.runs()
    return []
