r"""Values as TOML on one line each, whatever a database or a homeserver called things. Pure.

What can't be seen is escaped too, so that a terminal or an editor shows what is there. Only texts, numbers, truth
values, lists and tables are ever written, which is less than a library would bring.
"""

from collections.abc import Mapping
from typing import Any

from toolkit.quotes import is_hidden


def inline(value: Any) -> str:
    r"""A value as it may stand behind `=`.

    >>> print(inline({"kind": "a\nb", "n": [1, True], "odd key": r"Ticket \(.+\)"}))
    { kind = "a\nb", n = [1, true], "odd key" = 'Ticket \(.+\)' }
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return text(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key(k)} = {inline(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(inline, value)) + "]"
    return repr(value)


def key(name: str) -> str:
    """A key, bare where it may be."""
    bare = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    return name if bare else text(name)


def text(value: str) -> str:
    """A text: as it is in single quotes if it has a backslash, so that patterns stay readable; else in double ones."""
    if "\\" in value and "'" not in value and not any(map(is_hidden, value)):
        return f"'{value}'"
    return '"' + "".join(map(_escaped, value)) + '"'


def _escaped(char: str) -> str:
    if char in _SHORT:
        return _SHORT[char]
    if not is_hidden(char):
        return char
    return f"\\u{ord(char):04X}" if ord(char) < 0x10000 else f"\\U{ord(char):08X}"


_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
