"""The table's JavaScript: its types hold, agree with what Python says and reads, and can be broken."""

import json
import shutil
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from tests import typescript
from tests.bench import BOT, TOKEN
from tests.boards import disputed, look
from toolkit.board import find_model, from_browser, to_browser
from toolkit.board.folding import Heading
from toolkit.board.items import Item, Result
from toolkit.board.table import ReviewTable
from toolkit.board.views import VIEWS
from toolkit.decisions.ledger import Vote
from toolkit.model import Choices, RowWrite, Status, UnitKind
from toolkit.testing import FakeHomeserver
from toolkit.words import Words, link_words

FOLDER = typescript.ROOT / "toolkit" / "board" / "browser"
COLUMNS = 120

typed = pytest.mark.skipif(not typescript.available(), reason=typescript.MISSING)


def project(folder: Path, scripts: Path) -> Path:
    """A folder to check, with the repository's options."""
    told = {"extends": str(typescript.ROOT / "tsconfig.json"), "include": [str(scripts), "*.ts"]}
    (folder / "tsconfig.json").write_text(json.dumps(told))
    return folder


@typed
def test_no_type_is_wrong() -> None:
    done = typescript.check()
    assert done.returncode == 0, done.stdout


WRONG = [
    ("rows.js", "line.cause;", "line.reason;"),
    ("counts.js", "state.offline", "state.isOffline"),
    ("table.js", 'send("cancel")', 'send("stop")'),
    ("table.js", "{unit, vote, change: line.change}", "{unit, vote}"),
    ("history.js", "{run: run.run}", "{run: run.rows}"),
    ("opened.js", '{class: "md-bar"}', '{clas: "md-bar"}'),
    ("opened.js", "button, code, h, heading", "button, code, h, headline"),
    ("dom.js", "setText(node, text)", "setText(node, text, unused)"),
]


@typed
def test_a_wrong_name_or_type_is_an_error(tmp_path: Path) -> None:
    """Each in a copy of its own, and all copies checked at once, since that is as long as for one."""
    project(tmp_path, tmp_path)
    for number, (name, right, wrong) in enumerate(WRONG):
        scripts = Path(shutil.copytree(FOLDER, tmp_path / f"browser{number}"))
        text = (scripts / name).read_text("utf-8")
        assert right in text
        (scripts / name).write_text(text.replace(right, wrong, 1), "utf-8")
    told = typescript.check(tmp_path).stdout
    assert [name for n, (name, *_) in enumerate(WRONG) if f"browser{n}/{name}(" not in told] == []


@typed
class TestAgreeing:
    """A file of samples that Python made is checked against the types."""

    def check(self, folder: Path, *samples: tuple[str, Any]) -> str:
        """What is wrong with them."""
        lines = [f'import type * as said from "{FOLDER.as_posix()}/messages.js";']
        for number, (kind, sample) in enumerate(samples):
            lines.append(f"export const sample{number}: {kind} = {json.dumps(sample)};")
        (folder / "samples.ts").write_text("\n".join(lines))
        return typescript.check(project(folder, FOLDER)).stdout

    async def test_what_python_says(self, tmp_path: Path) -> None:
        told = await _all_that_is_told(tmp_path)
        kinds = "window lines again state answer details question selected history run undo"
        assert {message["kind"] for message in told} == set(kinds.split())
        heading = to_browser.heading_line(Heading(" a", "conflict", "why", 2, 1, 2, shown=True))
        whole = to_browser.line(FULL, finished=True) | {"quiet": True, "group": heading["group"]}
        samples = ("said.Told[]", told), ("Required<said.Line>", whole)
        assert self.check(tmp_path, *samples) == ""
        assert "cuase" in self.check(tmp_path, ("said.Line", {**whole, "cuase": ""}))

    def test_what_things_are_called(self, tmp_path: Path) -> None:
        words = [Words(), link_words("portal", ["gcid", "gc_receiver"], owner=True)]
        told = [to_browser.say_words(found) for found in words]
        assert self.check(tmp_path, ("said.Words[]", told)) == ""
        assert "ownr" in self.check(tmp_path, ("said.Words", {**told[0], "ownr": ""}))

    def test_what_python_reads(self, tmp_path: Path) -> None:
        asked: dict[str, dict[str, Any]] = {}
        for struct in get_args(from_browser.Message):
            names = [name for name in struct.__struct_fields__ if name != "view"]
            asked[struct.__struct_config__.tag] = {name: SAMPLES.get(name, "") for name in names}
        choices = ("Required<said.Choices>", SAMPLES["choices"])
        assert self.check(tmp_path, ("said.Asked", asked), choices) == ""
        del asked["apply"]["plan"]
        assert "'plan' is missing" in self.check(tmp_path, ("said.Asked", asked))


FULL = Item(
    unit="!a1",
    kind=UnitKind.ROOM,
    status=Status.MISSING,
    vote=Vote.PENDING,
    label="a room",
    id="!a1",
    needs_human=True,
    owner="@a:hs",
    who="a",
    writes=(RowWrite("matrix_room:!a1", None, "{}"),),
    picked="C1",
    again="approved",
    ignored="by eva: why",
    returned="why",
    barred="why",
    result=Result("stale", "why"),
)
SAMPLES: dict[str, Any] = {
    **dict.fromkeys(("number", "start", "count"), 0),
    **dict.fromkeys(("quiet", "down", "grouped"), False),
    "keep": [],
    "unfolded": [],
    "units": {"!a1": "change"},
    "vote": "approve",
    "choices": {
        field.name: field.default if isinstance(field.default, bool) else "C1"
        for field in msgspec.structs.fields(Choices)
    },
}


async def _all_that_is_told(folder: Path) -> list[Any]:
    """Messages of each kind."""
    bench = disputed(folder / "bot.db")
    async with FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server:
        return await _talk(ReviewTable(find_model(await look(bench, server))))


async def _talk(table: ReviewTable) -> list[Any]:
    heard: list[Any] = []
    table.widget.send = lambda content, buffers=None: heard.append(json.loads(json.dumps(content)))

    def ask(do: str, **rest: Any) -> Any:
        before = len(heard)
        table._on_message(None, {"do": do, **rest}, [])
        return heard[before]

    for line in ask("ready")["lines"]:
        details = ask("details", unit=line["unit"])
        for offer in details.get("offers", [])[:1]:
            ask("pick", unit=line["unit"], choices=offer["choices"])
            ask("details", unit=line["unit"])
    for line in ask("ready")["lines"]:
        ask("decide", unit=line["unit"], vote="approve", change=line["change"])
    ask("window", quiet=True)
    ask("window", quiet=True, grouped=True, view="folded")
    ask("select", first="!d1", last="!e1", view="folded")
    for view in range(VIEWS + 1):
        ask("ready", view=str(view))
    ask("count")
    ask("apply", plan=table.model.approved())
    await table.task
    run = ask("history")["runs"][0]["run"]
    ask("open_run", run=run)
    ask("plan_undo", run=run)
    ask("ready")
    return heard


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_no_line_is_wider_than_a_screen(path: Path) -> None:
    wide = [line for line in path.read_text("utf-8").splitlines() if len(line) > COLUMNS]
    assert not wide
