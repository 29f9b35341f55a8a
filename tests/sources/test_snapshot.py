"""Both sides in a file and back, to the byte; and files that are none."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.bench import BOT, small_world
from tests.worlds import JUNK
from toolkit.convention import Convention
from toolkit.errors import SnapshotError
from toolkit.model import Code
from toolkit.planning.plan import plan_repairs
from toolkit.records import Raw
from toolkit.session import Session
from toolkit.sources import sides
from toolkit.sources.snapshot import Snapshot, load_convention, load_snapshot, save_snapshot
from toolkit.testing import World

NOW = datetime(2026, 11, 22, 22, 3, 45, tzinfo=UTC)
BODIES = (
    b"[]",
    b'[\n {"type": "m.room.name"}\n]',
    b'[{"type":"m.room.name","content":{"name":"\xff"}}]',
    b'[{"type":"m.room.name","content":{"name":"\\ud800"}}]',
    b'[{"x":1,"x":2, "big": 1e999, "deep": ' + b"[" * 2_000 + b"]" * 2_000 + b"}]",
    b"no json",
    b'[]}\n{"row":"chat:x","value":"y"',
    b"",
)


def taken(rows: dict[str, Raw] | None = None, world: World | None = None) -> Snapshot:
    world = world or small_world()
    rooms = {room_id: world.state(room_id) for room_id in world.rooms}
    return Snapshot(BOT, rooms, {"!shut": "forbidden"}, rows or {"chat:@a:hs:C1": "{}"})


def there_and_back(path: Path, snapshot: Snapshot) -> Snapshot:
    save_snapshot(path, snapshot, NOW)
    return load_snapshot(path)


def test_everything_comes_back_to_the_byte(tmp_path: Path) -> None:
    rows: dict[str, Raw] = {f"chat:@a:hs:C{n}": raw for n, raw in enumerate(JUNK)}
    rows |= {"chat:\udcff": 'x\n\u2028"\udcfe', "chat:real": float("inf"), "chat:big": 2**62}
    odd = {f"!odd{n}": body for n, body in enumerate(BODIES)}
    before = taken(rows)
    before = Snapshot(BOT, before.rooms | odd | {"!\ud800": b"[]"}, before.unreadable, rows)
    after = there_and_back(tmp_path / "s.jsonl", before)
    assert after.rooms == before.rooms
    assert after.rows == before.rows
    assert {key: type(raw) for key, raw in after.rows.items()} == {
        key: type(raw) for key, raw in rows.items()
    }
    assert (after.account, after.unreadable) == (BOT, {"!shut": "forbidden"})
    assert after.time == "2026-11-22T22:03:45+00:00"


def test_the_sides_are_those_that_were_taken(tmp_path: Path) -> None:
    found = there_and_back(tmp_path / "s.jsonl", taken())
    convention = Convention()
    plan = plan_repairs(found.remote(convention), found.local(), convention)
    assert "!a1" in plan.joined
    assert "!shut" in found.remote(convention).unreadable
    assert found.local().rows == {"chat:@a:hs:C1": "{}"}


def test_a_room_that_is_no_state_is_unreadable_and_not_gone() -> None:
    found = Snapshot(BOT, {"!r": b"[]", "!s": b"{"}, {}, {})
    remote = found.remote(Convention())
    assert set(remote.unreadable) == {"!r", "!s"}
    plan = plan_repairs(remote, found.local())
    assert {f.code for unit in plan.units for f in unit.findings} == {Code.ROOM_UNREADABLE}


def test_the_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    before = os.umask(0)
    try:
        save_snapshot(path, taken(), NOW)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["s.jsonl"]


def test_rooms_stand_in_it_as_json_that_other_tools_read(tmp_path: Path) -> None:
    save_snapshot(tmp_path / "s.jsonl", taken(), NOW)
    lines = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert lines[0]["format"] == "matrix-drift snapshot"
    assert lines[1]["state"][0]["type"] == "m.room.create"


def test_a_snapshot_is_replaced_and_another_file_never(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    there_and_back(path, taken())
    assert there_and_back(path, taken({"chat:b": "1"})).rows == {"chat:b": "1"}
    database = tmp_path / "bot.db"
    database.write_bytes(b"SQLite format 3\0")
    with pytest.raises(SnapshotError, match="exists and is no snapshot"):
        save_snapshot(database, taken(), NOW)
    assert database.read_bytes() == b"SQLite format 3\0"


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match=r"Can't write the snapshot .*: No such file"):
        save_snapshot(tmp_path / "no" / "s.jsonl", taken(), NOW)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "Can't read the snapshot .*: No such file"),
        (b"", "is no snapshot"),
        (b"SQLite format 3\0\n", "is no snapshot"),
        (b"[1]\n", "is no snapshot"),
        (b'{"format":"matrix-drift snapshot","version":3}\n', "version 3, .* install a newer one"),
        (b'{"format":"matrix-drift snapshot"}\n', "version None"),
        (b'{"format":"matrix-drift snapshot","version":1}\n', "damaged"),
    ],
)
def test_what_is_no_snapshot_is_one_sentence(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    path = tmp_path / "s.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SnapshotError, match=words):
        load_snapshot(path)


def test_a_file_cut_anywhere_is_damaged_and_never_smaller_sides(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    save_snapshot(path, taken(), NOW)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 1, 37):
        path.write_bytes(whole[:length])
        with pytest.raises(SnapshotError):
            load_snapshot(path)


@pytest.mark.parametrize(
    ("counted", "line"),
    [
        ("rows", b'{"row":1,"value":"x"}'),
        ("rows", b'{"row":"a","value":[]}'),
        ("rows", b'{"row":"a","value":true}'),
        ("rows", b'{"row":"a","blob":"?"}'),
        ("rows", b'{"row":"a"}'),
        ("rows", b"[]"),
        ("rows", b"3"),
        ("rows", b"\xff"),
        ("unreadable", b'{"unreadable":"!r","why":3}'),
        ("rooms", b'{"room":"!r"}'),
        ("rooms", b'{"packed":"W10=","id":[]}'),
    ],
)
def test_a_line_of_the_wrong_kind_is_damage(tmp_path: Path, counted: str, line: bytes) -> None:
    path = tmp_path / "s.jsonl"
    save_snapshot(path, Snapshot(BOT, {}, {}, {}), NOW)
    header = json.loads(path.read_bytes())
    path.write_bytes(json.dumps(header | {counted: 1}).encode() + b"\n" + line + b"\n")
    with pytest.raises(SnapshotError, match="damaged"):
        load_snapshot(path)


def test_the_settings_are_read_from_the_head_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    save_snapshot(
        path, Snapshot(BOT, {}, {}, {"k": "v"}, settings={"former_accounts": ["@a:hs"]}), NOW
    )
    head, _ = path.read_bytes().split(b"\n", 1)
    path.write_bytes(head + b"\ncut short")
    assert load_convention(path, {}).former_accounts == ("@a:hs",)
    assert load_convention(path, {"former_accounts": ["@b:hs"]}).former_accounts == ("@b:hs",)
    path.write_bytes(json.dumps(json.loads(head) | {"settings": []}).encode())
    with pytest.raises(SnapshotError, match="damaged"):
        load_convention(path, {})
    with pytest.raises(SnapshotError, match="damaged"):
        load_snapshot(path)


async def test_a_session_reads_a_snapshot_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.jsonl"
    save_snapshot(path, taken(), NOW)
    read: list[Path] = []

    def load(path: Path) -> Snapshot:
        read.append(path)
        return load_snapshot(path)

    monkeypatch.setattr(sides, "load_snapshot", load)
    await Session.open(snapshot=path)
    assert read == [path]
