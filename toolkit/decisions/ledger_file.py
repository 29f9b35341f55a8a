"""The file beside the database that keeps what a person decided.

It is the one that `matrix-drift apply --decisions` takes: a line for each unit, sorted, without times,
so that git shows what changed.
"""

import json
import os
import re
import secrets
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from toolkit.database.files import share_like
from toolkit.decisions.decision import Decision, Ignored, read_as
from toolkit.decisions.ledger import Ledger, Vote
from toolkit.errors import SnapshotError, ToolkitError
from toolkit.model import Plan
from toolkit.text.advice import action

VERSION = 1
_FEW = 1000
"""Decisions at once from which on the file's text is made anew."""
_BLOCK = 256
"""Lines of that text that are joined anew for one that moves; at most twice as many."""

_SECTIONS = {
    "decisions": Vote.APPROVED,
    "rejected": Vote.REJECTED,
    "deferred": Vote.DEFERRED,
    "ignored": Vote.IGNORED,
}


def file_beside(path: Path) -> Path:
    """Where decisions about a database or snapshot are kept."""
    return path.with_name(f"{path.name}.decisions.json")


def load_beside(path: Path | None) -> Ledger:
    """What is decided about a database or snapshot by now; nothing where there is no such file.

    Raises `SnapshotError`.
    """
    file = path and file_beside(path)
    return load_ledger(file) if file and file.exists() else Ledger()


def forget(path: Path | None, plan: Plan, units: Iterable[str]) -> str:
    """Nothing is decided any more about these units of a database's plan, which are written. What is wrong with
    that in a sentence, mostly nothing: it is too late to fail."""
    if path is None:
        return ""
    try:
        ledger = load_beside(path).decide(Vote.PENDING, dict.fromkeys(units, Decision()))
        save_ledger(file_beside(path), LedgerText(ledger, plan).text(), path)
    except SnapshotError as error:
        return f"The rows are written, but: {error}"
    return ""


def load_ledger(path: Path) -> Ledger:
    """Read such a file, also one whose last line was deleted. Raises `SnapshotError`."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SnapshotError(f"Can't read the decisions {path}: {error.strerror}.") from None
    except UnicodeError:
        raise SnapshotError(f"Can't read the decisions {path}: it is not UTF-8.") from None
    value = _parse(path, text)
    if not isinstance(value, dict) or not isinstance(value.get("decisions"), dict):
        raise SnapshotError(
            f"{path} holds no decisions; `matrix-drift plan --out FILE` makes some."
        )
    if value.get("version") != VERSION:
        raise SnapshotError(
            f"The decisions {path} have version {value.get('version')!r}, and this matrix-drift "
            f"reads {VERSION}."
        )
    ledger = Ledger()
    for section, vote in _SECTIONS.items():
        found = _read_section(path, value.get(section, {}), vote)
        ledger = ledger.decide(vote, found)
        if vote is Vote.APPROVED:
            no = {unit: decision for unit, decision in found.items() if not decision.agreed}
            ledger = ledger.decide(Vote.REJECTED, no)
    return ledger


def save_ledger(path: Path, text: bytes, like: Path | None = None) -> None:
    """Write the file whole or not at all, no wider open than the file `like`; without one, for us alone.

    Raises `SnapshotError`.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        handle = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            if like is not None and like.exists():
                share_like(handle, like)
            with open(handle, "wb") as file:
                file.write(text)
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise SnapshotError(f"Can't write the decisions {path}: {error.strerror}.") from None


def dump_ledger(ledger: Ledger, plan: Plan) -> str:
    """The file's text: JSON, a line to a unit, in words what would be done."""
    return LedgerText(ledger, plan).text().decode("ascii")


class LedgerText:
    """The file's text, of which a decision makes its own lines anew and no others."""

    def __init__(self, ledger: Ledger, plan: Plan) -> None:
        self._ledger, self._plan = ledger, plan
        lines: dict[Vote, dict[str, str]] = {vote: {} for vote in _SECTIONS.values()}
        for unit, (vote, _) in ledger.votes.items():
            lines[vote][unit] = self._line(unit)
        self._sections = {vote: _Lines(found) for vote, found in lines.items()}

    def after(self, ledger: Ledger, plan: Plan) -> "LedgerText":
        """The text of a ledger that was made by deciding; this one is of no use any more."""
        decided = ledger.decided_since(self._ledger) if plan is self._plan else None
        if decided is None or len(decided) > _FEW:
            return LedgerText(ledger, plan)
        self._ledger = ledger
        for unit in decided:
            for section in self._sections.values():
                section.drop(unit)
            if unit in ledger.votes:
                self._sections[ledger.votes[unit][0]].put(unit, self._line(unit))
        return self

    def text(self) -> bytes:
        """All of it, joined at once: it may be megabytes."""
        pieces = [b'{"version": %d' % VERSION]
        for section, vote in _SECTIONS.items():
            blocks = self._sections[vote].blocks()
            if blocks or vote is Vote.APPROVED:
                pieces.append(b', "%s": {' % section.encode())
                for number, block in enumerate(blocks):
                    pieces += b",\n" if number else b"\n", block
                pieces.append(b"\n}")
        return b"".join([*pieces, b"}\n"])

    def _line(self, unit: str) -> str:
        decision = self._ledger.votes[unit][1]
        return f"{json.dumps(unit)}: {json.dumps(_line(decision, self._plan, unit))}"


class _Lines:
    """Lines in the order of their units, joined block by block: one that moves joins its own block anew."""

    def __init__(self, lines: dict[str, str]) -> None:
        self._fences, self._blocks, self._joined = [""], [lines], [b""]
        self._join(0)

    def blocks(self) -> list[bytes]:
        """All lines, with a comma and a line break between them; there are no empty blocks."""
        return [*filter(None, self._joined)]

    def put(self, unit: str, line: str) -> None:
        """This is the unit's line."""
        at = self._find(unit)
        self._blocks[at][unit] = line
        self._join(at)

    def drop(self, unit: str) -> None:
        """The unit has no line, if it had one."""
        at = self._find(unit)
        if self._blocks[at].pop(unit, None):
            self._join(at)

    def _find(self, unit: str) -> int:
        """The block whose fence is the last that isn't beyond the unit."""
        return bisect_right(self._fences, unit) - 1

    def _join(self, at: int) -> None:
        """A block that has grown becomes several."""
        block = self._blocks[at]
        units = sorted(block)
        size = _BLOCK if len(units) > 2 * _BLOCK else 2 * _BLOCK
        parts = [units[start : start + size] for start in range(0, len(units), size)] or [[]]
        self._fences[at : at + 1] = [self._fences[at], *(part[0] for part in parts[1:])]
        self._blocks[at : at + 1] = [{unit: block[unit] for unit in part} for part in parts]
        texts = (",\n".join(block[unit] for unit in part) for part in parts)
        self._joined[at : at + 1] = [text.encode("ascii") for text in texts]


def _line(decision: Decision, plan: Plan, unit_id: str) -> dict[str, Any]:
    line: dict[str, Any] = msgspec.to_builtins(decision)
    picked = line.pop("choices", {})
    if plan.words.table and "chat_id" in picked:
        picked["id"] = picked.pop("chat_id")
    line |= {"choices": picked} if picked else {}
    return line | ({"what": action(unit)} if (unit := plan.unit(unit_id)) else {})


def _parse(path: Path, text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_once_each)
    except RecursionError:
        raise SnapshotError(f"Can't read the decisions {path}: it is no JSON.") from None
    except json.JSONDecodeError as error:
        # Whoever deletes the last line leaves the comma of the one before; no text has line breaks.
        mended = re.sub(r",\s*\n\s*\}", "\n}", text)
        if mended != text:
            return _parse(path, mended)
        raise SnapshotError(
            f"Can't read the decisions {path}: it is no JSON (line {error.lineno}: {error.msg})."
        ) from None
    except ValueError as error:  # a name twice, or a number of thousands of digits
        raise SnapshotError(f"Can't read the decisions {path}: {error}.") from None


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two lines about one unit nobody could tell which one counts."""
    found = dict(pairs)
    if len(found) < len(pairs):
        [(twice, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"it names {twice!r} twice")
    return found


def _read_section(path: Path, value: Any, vote: Vote) -> Mapping[str, Decision]:
    if not isinstance(value, dict):
        raise SnapshotError(f"Can't read the decisions {path}: a section is no object.")
    try:
        return read_as(Ignored if vote is Vote.IGNORED else Decision, value)
    except ToolkitError as error:
        raise SnapshotError(f"Can't read the decisions {path}: {error}") from None
