"""What a watch sees when, and costs whom, is measured by one command; here once, for the fewest rooms."""

from __future__ import annotations

import re
import sys

import pytest

from toolkit.benchmark import watch
from toolkit.benchmark.watched import PATIENCE
from toolkit.testing import Synapse

KINDS = (
    "a room's name",
    "a user joins",
    "a user leaves",
    "a link of a Space",
    "an upgrade",
    "a row updated",
    "a row deleted",
    "a row inserted",
    "the database replaced",
)


@pytest.mark.synapse
@pytest.mark.skipif(not Synapse.available(), reason="matrix-synapse is not installed")
@pytest.mark.skipif(
    sys.platform != "linux", reason="other systems have no clock of another process"
)
def test_each_kind_of_change_is_seen_soon_and_a_full_look_costs_the_homeserver_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["watch", "--chats", "5", "--rounds", "1"])
    watch.main()
    printed = capsys.readouterr().out
    lines = {cells[1].strip(): cells[2:] for cells in map(_cells, printed.splitlines()) if cells}
    assert set(KINDS) < set(lines)
    for kind in KINDS:
        least, most = re.findall(r"\d+\.\d\d", lines[kind][0])
        assert 0 < float(least) <= float(most) < PATIENCE
    whole, at_one = (
        float(lines[f"homeserver, {what}"][0]) for what in (watch.WHOLE, watch.ONE_NEW)
    )
    assert whole > at_one > 0
    assert "watch, a second in which nothing happens" in lines


def _cells(line: str) -> list[str]:
    return line.split("│") if line.startswith("│") else []
