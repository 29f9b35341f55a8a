"""Four workers of a bot that share its rows: `python -m tests.postgres.workers DSN SECONDS`.

READ COMMITTED; half of what they do are single updates, half lock two rows in the order of their keys and update
both; now and then they insert a row, as the tool may want to at that moment. Each counts what it committed, row
by row, and logs it in the same transaction. What came of it is printed as JSON.
"""

import asyncio
import json
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import psycopg

LOG = "CREATE TABLE worked (xid xid8, key text)"
WORKERS = 4
_ONE = """UPDATE kv SET value = (value::jsonb || %s::jsonb ||
    jsonb_build_object('n', coalesce((value::jsonb ->> 'n')::int, 0) + 1))::text WHERE key = %s"""
_TWO = "SELECT key, value FROM kv WHERE key = ANY(%s) ORDER BY key FOR UPDATE"
_LOGGED = "INSERT INTO worked SELECT pg_current_xact_id(), unnest(%s::text[])"


@dataclass
class Work:
    """What one worker did."""

    commits: int = 0
    failed: list[str] = field(default_factory=list)
    added: Counter[str] = field(default_factory=Counter)  # key -> how often it was counted up
    inserted: int = 0
    stall: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        return Work(
            self.commits + other.commits,
            self.failed + other.failed,
            self.added + other.added,
            self.inserted + other.inserted,
            max(self.stall, other.stall),
        )


async def work(dsn: str, seconds: float, seed: int) -> Work:
    """Write for so long."""
    chance, done = random.Random(seed), Work()  # noqa: S311  # no secret
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        found = await (await connection.execute("SELECT key, value FROM kv")).fetchall()
        await connection.commit()
        rows = {key: _uncounted(value) for key, value in found}
        keys = sorted(rows)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            begun = time.monotonic()
            try:
                counted, inserted = await _once(connection, chance, keys, rows)
                await connection.commit()
            except psycopg.Error as error:
                done.failed.append(f"{error.sqlstate} {error}")
                await connection.rollback()
                continue
            finally:
                done.stall = max(done.stall, time.monotonic() - begun)
            done.commits += 1
            done.added.update(counted)
            done.inserted += inserted
            await asyncio.sleep(0)
    return done


def _uncounted(value: str) -> str:
    """A row for a new key: another worker may have begun before, and counted this one up already."""
    row = json.loads(value)
    return json.dumps(row, ensure_ascii=False) if row.pop("n", 0) else value


async def _once(
    connection: psycopg.AsyncConnection[tuple[Any, ...]],
    chance: random.Random,
    keys: list[str],
    rows: dict[str, str],
) -> tuple[list[str], int]:
    """One transaction but for its commit: the rows it counted up, and how many it inserted."""
    kind, one = chance.random(), chance.choice(keys)
    counted, inserted = list[str](), 0
    if kind < 0.05:
        # A room is forgotten and met again: the row goes, and comes back by whoever is first.
        cursor = await connection.execute(
            "INSERT INTO kv VALUES (%s, %s) ON CONFLICT DO NOTHING", (f"{one}0", rows[one])
        )
        inserted = cursor.rowcount
        touched = [f"{one}0"] if inserted else []
    elif kind < 0.5:
        wrong = {"display_name": "?"} if one.startswith("matrix_room:") and kind < 0.15 else {}
        cursor = await connection.execute(_ONE, (json.dumps(wrong), one))
        touched = counted = [one] if cursor.rowcount else []
    else:
        two = [one, chance.choice(keys)]
        locked = await (await connection.execute(_TWO, (two,))).fetchall()
        for key, value in locked:
            row = json.loads(value)
            row["n"] = row.get("n", 0) + 1
            await connection.execute(
                "UPDATE kv SET value = %s WHERE key = %s", (json.dumps(row), key)
            )
        touched = counted = [key for key, _ in locked]
    await connection.execute(_LOGGED, (touched,))
    return counted, inserted


async def main(dsn: str, seconds: float) -> None:
    done = sum(await asyncio.gather(*(work(dsn, seconds, n) for n in range(WORKERS))), Work())
    print(json.dumps(done.__dict__))  # noqa: T201  # a program of its own


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
