"""The mappings that the docs show: each is named there, loads, and says how its bot is to be looked at."""

from __future__ import annotations

import re

import pytest

from tests.systems.system import MAPPINGS, mapping
from toolkit.model import RemoteState
from toolkit.planning.links.plan import plan_links
from toolkit.planning.links.rows import load_links
from toolkit.records import encode_row, link_key

NAMES = sorted(path.stem for path in MAPPINGS.glob("*.toml"))


def test_the_page_on_layouts_leads_to_every_mapping() -> None:
    page = (MAPPINGS.parent / "layouts.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"\]\(mappings/([\w-]+)\.toml\)", page)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_row_whose_room_is_gone_is_an_orphan_by_every_mapping(name: str) -> None:
    layout = mapping(name)
    table = layout.link
    cells = dict.fromkeys(table.columns, "1") | {table.room: "!gone"}
    key = link_key(table.table, ["1"] * len(table.ids))
    plan = plan_links(
        RemoteState("@bot:hs", {}), load_links({key: encode_row(cells)}, layout), layout
    )
    assert plan.orphans == (key,)
