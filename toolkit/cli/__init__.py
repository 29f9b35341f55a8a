"""The command `matrix-drift`: a thin face on the same plan and the same writer as the bot's functions.

Here is what every command shares: how errors are told, and the exit codes. 0 is in sync, 2 is drift or
something left to decide, 1 is everything else, wrong usage and Ctrl+C included. Whether anybody reads
to the end changes none of them.
"""

import os
import sys
import traceback
from collections.abc import Sequence

import click

from toolkit.cli.commands import matrix_drift
from toolkit.cli.output import Cancelled, say, say_lines
from toolkit.errors import ToolkitError

ERROR = 1


def main() -> None:
    """Run the command line of this process."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; errors are told in a sentence on stderr."""
    if asked := os.environ.get("_MATRIX_DRIFT_COMPLETE"):  # a shell, in the middle of a line
        from toolkit.cli.completion import answer

        return answer(matrix_drift, asked)
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks must not end the command.
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")
    try:
        code = matrix_drift.main(
            list(arguments) or ["--help"],
            "matrix-drift",
            standalone_mode=False,
            obj=tuple(arguments),
        )
    except Exception as error:
        return _explain(error, "--debug" in arguments)
    except SystemExit:  # click's own end where nobody reads its help any more
        return 0
    return code if isinstance(code, int) else 0


def _explain(error: Exception, debug: bool) -> int:
    if debug and not isinstance(error, click.ClickException | click.Abort | Cancelled):
        say_lines("".join(traceback.format_exception(error)))
    say(_sentence(error, debug))
    return ERROR


def _sentence(error: Exception, debug: bool) -> str:
    if isinstance(error, Cancelled):
        return f"Cancelled; {error}"
    if isinstance(error, click.Abort):
        return "Cancelled; nothing was written."
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        hint = f" `{context.command_path} --help` says more." if context else ""
        said = error.format_message()
        return f"Error: {said}{'' if said.endswith(('.', '?')) else '.'}{hint}"
    if isinstance(error, ToolkitError):
        return f"Error: {error}"
    hint = "" if debug else " With --debug you see where."
    return f"Error: unexpected {type(error).__name__}, which is a bug in matrix-drift.{hint}"
