"""What tells a database from another one that takes its name."""

import os
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from toolkit.database import identity
from toolkit.database.identity import Identity, identify, name_file


def make(path: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(path)) as database, database:
        for statement in statements or ("CREATE TABLE kv (key TEXT)",):
            database.execute(statement)
    return path


def known(path: Path) -> Identity:
    found = identify(path)
    assert found
    return found


def test_a_file_stays_itself_whatever_is_written(tmp_path: Path) -> None:
    path = make(tmp_path / "bot.db")
    before = known(path)
    make(path, "INSERT INTO kv VALUES ('a')")
    after = known(path)
    assert after.is_same(before) and after.changes == before.changes + 1
    assert after.may_copy(before) and not before.may_copy(after)
    moved = path.rename(tmp_path / "other.db")
    assert known(moved).is_same(before)


def test_a_file_made_anew_is_another_also_with_the_same_inode(tmp_path: Path) -> None:
    path = make(tmp_path / "bot.db")
    before = known(path)
    path.unlink()
    assert identify(path) is None and name_file(path) is None
    make(path)
    after = known(path)
    told_apart = bool(before.birth and after.birth)  # some file systems tell no birth
    assert after.is_same(before) == (not told_apart and after.inode == before.inode)


def test_a_copy_is_another_file_and_was_changed_as_often(tmp_path: Path) -> None:
    path = make(tmp_path / "bot.db")
    copy = known(Path(shutil.copy2(path, tmp_path / "copy.db")))
    assert not copy.is_same(known(path)) and copy.may_copy(known(path))


def test_it_comes_back_from_a_journal(tmp_path: Path) -> None:
    path = make(tmp_path / "bot.db")
    assert Identity.read(name_file(path)) == identify(path)
    for text in (None, "", "1.2", "1.2.x", "1.2.3.4", "١.٢.٣"):
        assert Identity.read(text) is None


def test_without_a_birth_the_inode_tells() -> None:
    assert Identity(1, 0, 5).is_same(Identity(1, 7, 5))
    assert not Identity(1, 0, 5).is_same(Identity(2, 0, 5))
    assert Identity(1, 7, 5).is_same(Identity(2, 7, 9))


@pytest.mark.parametrize(
    ("stat", "birth"),
    [
        (SimpleNamespace(st_birthtime_ns=7), 7),
        (SimpleNamespace(st_birthtime=1.5), 1_500_000_000),
    ],
)
def test_a_birth_that_python_tells_is_taken(stat: Any, birth: int) -> None:
    assert identity._birth(Path("none"), stat) == birth


def test_where_no_call_tells_it_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "bot.db")
    bare: Any = SimpleNamespace()
    assert identity._birth(tmp_path / "gone", bare) == 0
    monkeypatch.setattr("ctypes.CDLL", lambda name: SimpleNamespace())
    assert identity._birth(path, bare) == 0
    monkeypatch.setattr(sys, "platform", "plan9")
    assert identity._birth(path, bare) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux")
def test_the_birth_is_what_the_system_tells(tmp_path: Path) -> None:
    path = make(tmp_path / "bot.db")
    found = known(path)
    assert found.inode == path.stat().st_ino
    if found.birth:
        assert abs(found.birth - os.stat(path).st_ctime_ns) < 60 * 10**9
