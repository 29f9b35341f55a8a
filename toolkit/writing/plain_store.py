"""Writing to a store that only gets and sets: row by row, each compared just before.

The room row comes last: what an interruption leaves behind, the next run finishes.
"""

from toolkit.database.chat_manager import ChatManagerLike
from toolkit.database.contract import Store
from toolkit.database.journal import State
from toolkit.database.look import load_look, load_row
from toolkit.model import Unit
from toolkit.quotes import quote_odd
from toolkit.records import CHAT, decode_object, parse_key
from toolkit.writing.chat_rows import (
    LEFT_WRONG,
    ManagerFailed,
    chat_insert,
    left_out,
    make_chat,
    points_at,
)
from toolkit.writing.job import APPLIED, LATE, Job, Outcome, Result
from toolkit.writing.staleness import compare_rows, why_stale


async def write_plainly(job: Job, store: Store, chat_mgr: ChatManagerLike | None) -> Result:
    """Write the units of a job one by one; there is no backup, no journal and no way back."""
    outcomes: dict[str, Outcome] = {}
    moved = compare_rows(job.look.rows, (await load_look(store)).rows)
    for done, unit in enumerate(job.units, 1):
        if job.late:
            outcomes[unit.id] = LATE
        elif why := why_stale(unit, job.plan, moved):
            outcomes[unit.id] = Outcome(State.STALE, f"{why}; look again")
        else:
            outcomes[unit.id] = await _write_unit(unit, job, store, chat_mgr)
        job.report(done)
    return Result(outcomes)


async def _write_unit(
    unit: Unit, job: Job, store: Store, chat_mgr: ChatManagerLike | None
) -> Outcome:
    writes = sorted(unit.writes, key=lambda write: parse_key(write.key).family != CHAT)
    made = chat_insert(unit)
    try:
        for write in writes:
            if await load_row(store, write.key) != write.before:
                return Outcome(
                    State.STALE, f"row {quote_odd(write.key)} was written meanwhile; look again"
                )
        for write in writes:
            if chat_mgr is None or write is not made:
                await store.set(write.key, decode_object(write.after))
                if await load_row(store, write.key) in (None, write.before):
                    return Outcome(
                        State.FAILED, f"the bot's store did not take the row {quote_odd(write.key)}"
                    )
                continue
            await make_chat(chat_mgr, write, job.until)
            if not points_at(write.key, await load_row(store, write.key), unit.id):
                return Outcome(State.STALE, LEFT_WRONG)
            row = await store.get(write.key) or {}
            if missing := left_out(row, write):
                await store.set(write.key, row | missing)
    except ManagerFailed as error:
        return Outcome(State.FAILED, str(error))
    except Exception as error:  # the store is the bot's own code: recorded, and the next goes on
        return Outcome(State.FAILED, f"the bot's store raised {type(error).__name__}")
    return APPLIED
