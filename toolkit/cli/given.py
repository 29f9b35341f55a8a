"""What was given to a command, read from its options: where to look, and which part to show.

What can't be given together is refused here, before anything is looked at.
"""

from typing import TYPE_CHECKING, Any

import click

from toolkit.cli.options import Where

if TYPE_CHECKING:
    from toolkit.text.view import View

NARROWING = ("statuses", "users", "codes", "rooms")
VIEW = (*NARROWING, "summary")


def where_of(options: dict[str, Any]) -> Where:
    """The settings of this call; a snapshot is looked at instead of the two sides, not beside them."""
    if options.get("snapshot") and (given := options_given("homeserver", "database", "allow_new")):
        flag = "new-database" if given[0] == "allow_new" else given[0]
        raise click.UsageError(f"--snapshot holds both sides: leave out --{flag}.")
    return Where.of(options)


def view_of(options: dict[str, Any], as_json: bool) -> "View":
    """Which part of the plan is asked for; those options are taken out."""
    if as_json and options["summary"]:
        raise click.UsageError("--json has each unit: leave out --summary.")
    from toolkit.text.view import View

    asked = {name: options.pop(name) for name in VIEW}
    codes = [code.replace(" ", "_") for code in asked.pop("codes")]  # as a listing says them
    return View(**asked, codes=codes)


def options_given(*names: str) -> list[str]:
    """Options on the command line itself; the environment may name what isn't meant now."""
    context = click.get_current_context()
    line = click.core.ParameterSource.COMMANDLINE
    return [name for name in names if context.get_parameter_source(name) is line]
