"""The writer on a PostgreSQL server: the same promises, by the same code."""

import json

from tests.bench import A2, UA, small_rows, states
from tests.postgres.server_bench import ServerBench
from toolkit.database.look import load_look
from toolkit.writing.undo import history, undo


async def test_what_is_missing_is_restored_and_a_second_run_finds_nothing(
    any_bench: ServerBench,
) -> None:
    async with any_bench.store() as store:
        result = await any_bench.run(store)
        assert set(states(result).values()) == {"applied"}
        assert not (await any_bench.run(store)).outcomes
    for key, row in small_rows().items():
        assert json.loads(any_bench.bytes()[key][1]) | row == json.loads(any_bench.bytes()[key][1])


async def test_undo_puts_back_the_rows_to_the_text(any_bench: ServerBench) -> None:
    any_bench.put({UA: '{"space_id":  "!old", "next_chat_index": 1, "kept": 1.50}'})
    before = any_bench.bytes()
    async with any_bench.store() as store:
        result = await any_bench.run(store)
        assert any_bench.bytes() != before
        [run] = await history(store)
        assert run.id == result.run and len(run.applied) == len(result.applied)
        _, taken = await undo(store, run.id, by="somebody")
        assert set(states(taken).values()) == {"applied"}
        assert any_bench.bytes() == before
        assert [run.undoes for run in await history(store)] == [None, run.id]


async def test_a_row_that_a_worker_writes_meanwhile_is_left_to_it(any_bench: ServerBench) -> None:
    new = {"chat_id": "C2", "matrix_user_id": "@alice:hs", "space_id": "!alice", "mine": True}
    async with any_bench.store() as store:
        result = await any_bench.run(store, meanwhile=lambda: any_bench.put({A2: new}))
    assert states(result)["!a2"] == "stale" and states(result)["!a1"] == "applied"
    assert any_bench.row(A2) == new


async def test_nothing_is_read_again_if_nobody_wrote(server_bench: ServerBench) -> None:
    async with server_bench.store() as store:
        look = await load_look(store)
        assert await store.version() == look.token
        server_bench.put({"other": {}})
        assert await store.version() != look.token
