"""What a pick does to rooms that nothing was picked for."""

from tests.scenario import Scenario
from toolkit.model import Code

ALICE = "@alice:hs"


def test_a_chat_row_leaves_a_room_that_another_id_is_picked_for_only_once_that_is_written() -> None:
    rooms = {"!s": {"space": ALICE, "chats": {"!a": "Рецепты", "!b": "Отпуск"}}}
    rows = {
        "matrix_room:!a": {"display_name": "Рецепты"},
        f"chat:{ALICE}:C1": {"surface_ref": "!b"},
        f"matrix_user:{ALICE}": {"next_chat_index": 3},
    }
    world = {"rule": "", "remote": rooms, "right": {f"{ALICE} in !s": {"C1": "!a"}}, "rows": rows}
    scenario = Scenario({**world, "choices": {"!b": {"chat_id": "C2"}}})
    before = scenario.plan()
    stopped, picked = before.unit("!a"), before.unit("!b")
    assert stopped and [f.code for f in stopped.conflicts] == [Code.DUPLICATE_CHAT_ID]
    assert picked and picked.change
    assert {write.key for write in picked.writes} == {"matrix_room:!b", f"chat:{ALICE}:C2"}
    written = {write.key: write.after for write in picked.writes}
    moved = scenario.plan(scenario.rows() | written, choices={}).unit("!a")
    assert moved and moved.certain
    assert [write.key for write in moved.writes] == [f"chat:{ALICE}:C1"]
