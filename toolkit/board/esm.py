"""Joins JavaScript modules to one: a widget is given a single text, and asks no server for another.

Each module that is imported becomes a function that is called once, so that its names stay its own, and
the names that it exports are taken from what that returns. It understands the three forms that the table
is written in, and whatever else is imported or exported is an error:

    import {a, b} from "./other.js";
    export function / export class / export const a
    export default …, in the entry alone
"""

import re
from collections.abc import Mapping
from pathlib import Path

_IMPORT = re.compile(
    r'^import \{(\s*\w+(?:,\s*\w+)*,?\s*)\} from "\./([a-z]\w*)\.js";$', re.MULTILINE
)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const) (\w+))", re.MULTILINE)
_OTHER = re.compile(r"^(?:import|export)\b.*$", re.MULTILINE)


def join_modules(entry: Path) -> str:
    """The entry with what it imports, at any depth. Raises `ValueError` where that isn't understood."""
    exports: dict[str, list[str]] = {}
    parts: list[str] = []

    def add(name: str, importers: tuple[str, ...]) -> None:
        if name in importers:
            raise ValueError(f"modules import each other: {' > '.join([*importers, name])}")
        if name in exports:
            return
        text = entry.with_name(f"{name}.js").read_text("utf-8")
        for found in _IMPORT.finditer(text):
            add(found[2], (*importers, name))
        text = _IMPORT.sub(lambda found: _take(found, exports), text)
        if importers:
            exports[name] = _EXPORT.findall(text)
            text = _EXPORT.sub("", text)
            text = (
                f"const ${name} = (() => {{\n{text}return {{{', '.join(exports[name])}}};\n}})();\n"
            )
        parts.append(text)
        _refuse_others(name, text, entry=not importers)

    add(entry.stem, ())
    return "".join(parts)


def _take(found: re.Match[str], exports: Mapping[str, list[str]]) -> str:
    names = re.findall(r"\w+", found[1])
    for name in names:
        if name not in exports[found[2]]:
            raise ValueError(f"{found[2]}.js exports no {name!r}")
    return f"const {{{', '.join(names)}}} = ${found[2]};"


def _refuse_others(name: str, text: str, *, entry: bool) -> None:
    for found in _OTHER.findall(text):
        if not (entry and re.match(r"export (default|function|class|const)\b", found)):
            raise ValueError(f"{name}.js says what can't be joined: {found}")
