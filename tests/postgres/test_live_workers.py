"""Four live workers beside apply: nothing of theirs is lost or fails, and no unit rests on what they changed.

What came before what is the server's word: which transactions a look saw, and when each was committed.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Hashable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from tests.postgres.server_bench import ServerBench
from tests.postgres.workers import LOG, Work
from toolkit.benchmark.worlds import BOT, scale_rooms, scale_rows
from toolkit.database.look import Look
from toolkit.homeserver.room_state import decode_room
from toolkit.model import RemoteState, Unit, UnitKind
from toolkit.planning.plan import plan_repairs
from toolkit.records import Raw, load_records, parse_key
from toolkit.writing.apply import apply_changes
from toolkit.writing.job import new_job

CHATS, SECONDS = 200, 4.0
_XID = "SELECT xmin::text::xid8::text FROM matrix_drift_journal WHERE run = %s"
_SLIPPED = """SELECT DISTINCT w.key FROM worked AS w WHERE NOT pg_visible_in_snapshot(w.xid, %s::pg_snapshot)
    AND pg_xact_commit_timestamp(w.xid::text::xid) < pg_xact_commit_timestamp(%s::xid)"""


async def test_nothing_of_live_workers_is_lost_and_no_unit_rests_on_what_they_changed(
    dsn: str, tmp_path: Path
) -> None:
    bench = ServerBench(tmp_path / "bot", dsn=dsn)
    bench.fill(dict(scale_rows(CHATS)))
    bench.sql(LOG)
    remote = RemoteState(BOT, {r: decode_room(r, body) for r, body in scale_rooms(CHATS)})
    written, left, slipped, runs = 0, Counter[str](), list[str](), 0
    workers = asyncio.create_task(asyncio.to_thread(_work, dsn))
    async with bench.store() as store:
        until = time.monotonic() + SECONDS + 1.0
        while time.monotonic() < until:
            look = _look(dsn, await store.version())
            plan = plan_repairs(remote, load_records(look.rows))
            units = [unit for unit in plan.units if unit.change]
            await asyncio.sleep(0.02)
            job = new_job(plan, units, look, "test", datetime.now(UTC))
            result = await apply_changes(job, store, None)
            left.update(outcome.state for outcome in result.outcomes.values())
            if applied := set(result.applied):
                runs += 1
                written += len(applied)
                assert isinstance(look.token, tuple)
                done = [unit for unit in units if unit.id in applied]
                slipped += _slipped(dsn, job.run, look.token[1], done)
    work = Work(**json.loads(await workers))
    rows = {key: json.loads(value).get("n", 0) for key, (_, value) in bench.bytes().items()}
    [(deadlocks,)] = bench.sql(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )
    print(  # noqa: T201  # the figures of the page
        f"{work.commits} commits, {runs} runs, {written} units written, {dict(left)}, "
        f"longest stall {work.stall * 1000:.0f} ms"
    )
    assert work.commits > 100 and written > 5 and left["stale"]
    assert work.failed == [] and deadlocks == 0
    assert {key: n for key, n in rows.items() if n} == dict(work.added)  # 0 lost
    assert slipped == []
    assert work.stall < 2.0


def _slipped(dsn: str, run: str, look: str, units: Iterable[Unit]) -> list[str]:
    """Units that rest on rows which a commit changed after the look and before theirs."""
    with psycopg.connect(dsn) as connection:
        [(xid,)] = connection.execute(_XID, (run,)).fetchall()
        touched = {key for (key,) in connection.execute(_SLIPPED, (look, xid)).fetchall()}
    return [unit.id for unit in units if any(_concerns(unit, key) for key in touched)]


def _concerns(unit: Unit, key: str) -> bool:
    assert unit.change
    if key in {write.key for write in unit.writes} | set(unit.change.relies_on):
        return True
    return unit.kind is UnitKind.USER and parse_key(key).user == unit.owner


def _work(dsn: str) -> bytes:
    command = [sys.executable, "-m", "tests.postgres.workers", dsn, str(SECONDS)]
    return subprocess.run(
        command, cwd=Path(__file__).parents[2], check=True, capture_output=True, timeout=60
    ).stdout


def _look(dsn: str, token: Hashable) -> Look:
    """All rows, and exactly what this look saw."""
    assert isinstance(token, tuple)
    with psycopg.connect(dsn) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        [(snapshot,)] = connection.execute("SELECT pg_current_snapshot()::text").fetchall()
        rows: dict[str, Raw] = dict(connection.execute("SELECT key, value FROM kv").fetchall())
    return Look(rows, (token[0], snapshot))
