"""Both sides in one file: every room's raw state and every local row, as of one look.

JSON Lines: a header, then a line per room, per unreadable room and per row. What is no JSON or no
UTF-8 survives to the byte. The file holds what people wrote: it is open to its owner alone.
"""

import base64
import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from toolkit.convention import Convention
from toolkit.errors import ConventionError, SnapshotError
from toolkit.homeserver.room_state import UnreadableState, decode_room
from toolkit.layout import Layout, TableFacts
from toolkit.model import RemoteState, RoomState
from toolkit.records import NULL, LocalState, Raw, load_records

FORMAT = "matrix-drift snapshot"
VERSION, OF_CHATS = 2, 1
"""The latest version of the file, and the one that every bot of shape chats has, for earlier readers."""

_HEAD = f'{{"format":"{FORMAT}",'.encode()
_ROOM = b'{"room":'
_NO_CREATE = "state without the room's create event"

_decode_raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Snapshot(msgspec.Struct, frozen=True):
    """What a look found. `rooms` holds raw state as `/rooms/{id}/state` gives it, which a
    `FakeHomeserver` can serve; `settings` is the convention that the bot was looked at with. Of a bot of shape
    links it has the `layout` and what the database said of its table.
    """

    account: str
    rooms: dict[str, bytes]
    unreadable: dict[str, str]
    rows: dict[str, Raw]
    time: str = ""
    settings: dict[str, Any] = {}
    layout: Layout | None = None
    facts: TableFacts | None = None

    def remote(self, convention: Convention) -> RemoteState:
        """The homeserver's side, through the same decoder as a live one."""
        known: dict[str, str] = {}
        rooms: dict[str, RoomState] = {}
        refused = dict(self.unreadable)
        kept = self.layout.kept_events if self.layout else frozenset[str]()
        event_type = convention.state_event_type
        for room_id, body in sorted(self.rooms.items()):
            try:
                rooms[room_id] = _read_room(room_id, body, event_type, known, kept)
            except UnreadableState as error:
                refused[room_id] = f"its state can't be used: {error}"
        return RemoteState(self.account, rooms, refused)

    def local(self) -> LocalState:
        """The bot's side."""
        return load_records(self.rows)


def save_snapshot(path: Path, snapshot: Snapshot, now: datetime) -> None:
    """Write the file whole or not at all. It may replace a snapshot, never another file or a link."""
    if path.is_symlink():
        raise SnapshotError(f"{path} is a link: it is left as it is; name the file itself.")
    if path.exists() and not _is_snapshot(path):
        raise SnapshotError(
            f"{path} exists and is no snapshot: it is left as it is; name another file."
        )
    with _new_file(path) as write:
        for line in _lines(snapshot, now):
            write(line + b"\n")


def load_snapshot(path: Path) -> Snapshot:
    """Read such a file. Raises `SnapshotError` if it is missing, damaged, foreign or too new."""
    with _open_snapshot(path) as (header, lines):
        return _read_lines(header, lines)


def load_convention(path: Path, settings: Mapping[str, Any]) -> Convention:
    """How the bot was looked at; what is set now counts before that. Raises like `load_snapshot`."""
    with _open_snapshot(path) as (header, _):
        recorded = _settings(header)
    return Convention(**{**recorded, **settings})


def load_layout(path: Path, known: Layout | None) -> Layout:
    """The mapping that the bot was looked at with; that of shape chats needs none here.

    A file that somebody sent names no code to be run: a function that tells ids is asked only if the settings
    here (`known`) name it too. Raises like `load_snapshot`.
    """
    with _open_snapshot(path) as (header, _):
        layout = _layout(header) or Layout()
    if isinstance(layout.evidence, str) and (known is None or known.evidence != layout.evidence):
        raise SnapshotError(
            f"The snapshot {path} asks the function {layout.evidence!r} for ids, which is run only if "
            "matrix-drift.toml names it as well (`evidence`)."
        )
    return layout


@contextlib.contextmanager
def _open_snapshot(path: Path) -> Iterator[tuple[dict[str, Any], Iterator[bytes]]]:
    try:
        with path.open("rb") as file:
            yield _read_header(path, file.readline()), file
    except OSError as error:
        raise SnapshotError(f"Can't read the snapshot {path}: {error.strerror}.") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, msgspec.MsgspecError):
        raise SnapshotError(
            f"The snapshot {path} is damaged or was cut short; take a new one."
        ) from None


def _read_room(
    room_id: str,
    body: bytes,
    event_type: str | None,
    known: dict[str, str],
    kept: frozenset[str],
) -> RoomState:
    room = decode_room(room_id, body, event_type, known, kept=kept)
    if room.creator is None:  # every room has one (spec, "m.room.create"): this is not all of it
        raise UnreadableState(_NO_CREATE)
    return room


# Writing


def _lines(snapshot: Snapshot, now: datetime) -> Iterator[bytes]:
    header: dict[str, Any] = {
        "format": FORMAT,
        "version": OF_CHATS if snapshot.layout is None else VERSION,
        "account": snapshot.account,
        "time": now.isoformat(timespec="seconds"),
        "settings": snapshot.settings,
        "rooms": len(snapshot.rooms),
        "unreadable": len(snapshot.unreadable),
        "rows": len(snapshot.rows),
    }
    if snapshot.layout is not None:
        header["layout"] = msgspec.to_builtins(snapshot.layout)
        header["facts"] = msgspec.to_builtins(snapshot.facts)
    yield _dump(header)
    for room_id, body in sorted(snapshot.rooms.items()):
        yield _room_line(room_id, body)
    for room_id, why in sorted(snapshot.unreadable.items()):
        yield _dump({"unreadable": room_id, "why": why})
    for key, raw in sorted(snapshot.rows.items()):
        yield _dump({"row": key, **_pack(raw)})


def _room_line(room_id: str, body: bytes) -> bytes:
    """The state as it came, so that other tools can read it; packed if it doesn't fit in a line."""
    line = b"%s%s,%s%s}" % (_ROOM, _dump(room_id), b'"state":', body)
    with contextlib.suppress(msgspec.MsgspecError, UnicodeError, RecursionError):
        body.decode()
        if b"\n" not in body and _unpack_room(line) == (room_id, body):
            return line
    return _dump({"packed": base64.b64encode(body).decode(), "id": room_id})


def _pack(raw: Raw) -> dict[str, Any]:
    if isinstance(raw, bytes):
        return {"blob": base64.b64encode(raw).decode()}
    if isinstance(raw, float):
        return {"real": repr(raw)}  # JSON has no infinity
    return {"value": None if raw is NULL else raw}


def _dump(value: object) -> bytes:
    # ASCII escapes hold what isn't UTF-8, as surrogates.
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def _is_snapshot(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_HEAD)) == _HEAD
    except OSError:
        return False


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[Callable[[bytes], object]]:
    """A file that has its name only once it is whole and on disk."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        handle = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            with open(handle, "wb") as file:
                yield file.write
                file.flush()
                os.fsync(handle)
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise SnapshotError(f"Can't write the snapshot {path}: {error.strerror}.") from None


# Reading


def _read_header(path: Path, line: bytes) -> dict[str, Any]:
    try:
        header = json.loads(line)
    except ValueError:
        header = None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise SnapshotError(f"{path} is no snapshot; `matrix-drift snapshot FILE` makes one.")
    version = header.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise SnapshotError(
            f"The snapshot {path} has version {version!r}, and this matrix-drift reads up to "
            f"{VERSION}: install a newer one."
        )
    return header


def _read_lines(header: Mapping[str, Any], lines: Iterator[bytes]) -> Snapshot:
    rooms: dict[str, bytes] = {}
    unreadable: dict[str, str] = {}
    rows: dict[str, Raw] = {}
    for line in lines:
        if line.startswith(_ROOM):
            room_id, body = _unpack_room(line)
            rooms[room_id] = body
            continue
        value = json.loads(line)
        if "packed" in value:
            rooms[value["id"]] = base64.b64decode(value["packed"], validate=True)
        elif "unreadable" in value:
            unreadable[value["unreadable"]] = value["why"]
        else:
            rows[value["row"]] = _unpack(value)
    if (len(rooms), len(unreadable), len(rows)) != tuple(map(header.get, _COUNTED)):
        raise ValueError("lines are missing")
    account, time = header["account"], header["time"]
    texts = [account, time, *rooms, *unreadable, *unreadable.values(), *rows]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("a line holds something else than it should")
    facts = msgspec.convert(header.get("facts"), TableFacts | None)
    return Snapshot(
        account, rooms, unreadable, rows, time, _settings(header), _layout(header), facts
    )


def _settings(header: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(settings := header["settings"], dict):
        return settings
    raise TypeError("the settings are no object")


def _layout(header: Mapping[str, Any]) -> Layout | None:
    if (told := header.get("layout")) is None:
        return None
    try:
        return Layout.of(**told)
    except ConventionError as error:
        why = str(error)
    raise ValueError(why)


_COUNTED = ("rooms", "unreadable", "rows")


def _unpack_room(line: bytes) -> tuple[str, bytes]:
    fields = _decode_raw(line)
    return json.loads(bytes(fields["room"])), bytes(fields["state"])


def _unpack(value: Mapping[str, Any]) -> Raw:
    if "blob" in value:
        return base64.b64decode(value["blob"], validate=True)
    if "real" in value:
        return float(value["real"])
    raw = value["value"]
    if not isinstance(raw, str | int | None) or isinstance(raw, bool):
        raise TypeError("no value of a row")
    return NULL if raw is None else raw
