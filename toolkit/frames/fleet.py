"""What was found of many bots, as frames: their findings together, a line per bot, and bot × cause."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from toolkit.decisions.case import Casebook
from toolkit.frames.columns import COLUMNS, LINE, NUMBER, TEXT, TIME, Field, assemble, make_array
from toolkit.frames.frame import Frame
from toolkit.frames.plan import drift_frame
from toolkit.model import Plan, Status

BOT_STATES = ("in_sync", "drift", "failed")
"""How a bot stands after a run."""

FLEET_COLUMNS: dict[str, dict[str, Field]] = {
    "drift": {
        "line": Field(LINE, "Counts the lines from 0 (index), bot by bot."),
        "bot": Field(TEXT, "The bot's name in `fleet.toml`."),
        **COLUMNS["drift"],
    },
    "bots": {
        "bot": Field(TEXT, "The bot's name in `fleet.toml` (index, in a person's order)."),
        "state": Field(
            pd.CategoricalDtype([*BOT_STATES]),
            "`in_sync`, `drift`, or `failed` if it could not be looked at or written to.",
        ),
        "reason": Field(
            TEXT,
            "Why it failed, why it isn't called in sync without a unit, or what was left alone; else null.",
        ),
        "account": Field(TEXT, "The account whose rooms these are; null if that wasn't found out."),
        "rooms": Field(NUMBER, "How many rooms it is in."),
        "units": Field(NUMBER, "How many units are adrift, ignored ones left out."),
        "ready": Field(NUMBER, "How many of them need no person."),
        "to_decide": Field(NUMBER, "How many of them a person has to decide."),
        "ignored": Field(NUMBER, "How many units are ignored."),
        "rows_written": Field(NUMBER, "How many rows the run wrote; null if it only looked."),
        "run": Field(TEXT, "The run's name in the bot's journal, for `undo`; null if none wrote."),
        "looked": Field(TIME, "When it was looked at."),
    },
}
"""Frame -> column -> dtype and meaning; each frame's first entry is its index."""


def drift_columns(plan: Plan, cases: Casebook | None = None) -> dict[str, list[Any]]:
    """The drift frame of one bot as lists of Python values, for a file; the id of shape links is `chat_id`."""
    frame = drift_frame(plan, cases).reset_index()
    names = {name: "id" if plan.words.table and name == "chat_id" else name for name in _DRIFT}
    return {name: _values(frame[column]) for name, column in names.items()}


_DRIFT = tuple(COLUMNS["drift"])


def _values(column: Any) -> list[Any]:
    known = column.notna()
    return column.astype(object).where(known, None).tolist()  # type: ignore[no-any-return]


def fleet_frame(bots: Mapping[str, Mapping[str, Sequence[Any]]]) -> Frame:
    """The findings of all bots: `FLEET_COLUMNS["drift"]`. `bots`: name -> its columns as above."""
    names = [name for name, columns in bots.items() for _ in columns["unit"]]
    columns: dict[str, Any] = {
        name: [value for columns in bots.values() for value in columns[name]] for name in _DRIFT
    }
    return assemble(FLEET_COLUMNS["drift"], {"line": names, "bot": names, **columns})


def bots_frame(lines: Sequence[Mapping[str, Any]]) -> Frame:
    """A line per bot: `FLEET_COLUMNS["bots"]`."""
    fields = FLEET_COLUMNS["bots"]
    return assemble(fields, {name: [line[name] for line in lines] for name in fields})


def count_codes(drift: Frame) -> dict[str, dict[str, int]]:
    """In how many units, or rows of no unit, of each bot each code was found: bot -> code -> how many.

    Notes and orphaned rows, which are no drift, aren't counted.
    """
    alone = drift["unit"].isna() & (drift["status"] == Status.CONFLICT.value)
    found = drift[drift["code"].notna() & (drift["unit"].notna() | alone)]
    about = found["unit"].fillna(found["key"])
    counts: dict[str, dict[str, int]] = {}
    for bot, code, _ in sorted({*zip(found["bot"], found["code"], about, strict=True)}):
        line = counts.setdefault(bot, {})
        line[code] = line.get(code, 0) + 1
    return counts


def causes_frame(counts: Mapping[str, Mapping[str, int]], bots: Mapping[str, bool]) -> Frame:
    """The same as a line per bot and a column per code that there is, the most frequent first.

    `bots`: name -> whether it was looked at; of one that wasn't, nothing is known.
    """
    totals: dict[str, int] = {}
    for line in counts.values():
        for code, count in line.items():
            totals[code] = totals.get(code, 0) + count
    columns = {
        code: make_array(
            [counts.get(bot, {}).get(code, 0) if known else None for bot, known in bots.items()],
            NUMBER,
        )
        for code in sorted(totals, key=lambda code: (-totals[code], code))
    }
    return Frame(columns, index=pd.Index([*bots], name="bot", dtype=TEXT))
