"""What a session knows, as one value: views read that, and nothing that the session keeps to itself."""

import ast
from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

import toolkit
from tests.bench import A1, BOB, Bench, small_rows
from tests.boards import look
from toolkit import Session, ToolkitError
from toolkit.decisions.ledger import Vote
from toolkit.errors import SnapshotError
from toolkit.model import Choices
from toolkit.testing import FakeHomeserver

PACKAGE = Path(toolkit.__file__).parent
DISPLAY = {"_repr_html_"}  # which Jupyter calls as well


@pytest.fixture
async def session(bench: Bench, server: FakeHomeserver) -> Session:
    return await look(bench, server)


async def test_a_state_stays_what_it_was_when_the_session_goes_on(
    session: Session, bench: Bench
) -> None:
    first = session.state
    assert first.votes == dict.fromkeys(("!a1", "!a2", BOB), Vote.PENDING) and first.runs == ()
    session.approve("!a1")
    decided = session.state
    assert decided is not first and first.votes["!a1"] is Vote.PENDING
    assert decided.votes["!a1"] is Vote.APPROVED and decided.plan is first.plan
    await session.apply()
    assert A1 not in decided.local.rows and decided.runs == () and decided.plan.unit("!a1")
    written = session.state
    assert A1 in written.local.rows and len(written.runs) == 1 and not written.plan.unit("!a1")
    assert written.remote is first.remote and written.find_run(None) is written.runs[0]


async def test_asking_makes_no_other_state(session: Session) -> None:
    before = session.state
    assert session.state is before
    found = session.plan_with("!a1", Choices(chat_id="C7")).unit("!a1")
    assert found and found.choices.chat_id == "C7"
    assert session.state is before and session.state.votes is before.votes


async def test_a_view_cannot_change_it(session: Session) -> None:
    for owner, name in ((session.state, "plan"), (session, "state"), (session, "road")):
        with pytest.raises((AttributeError, FrozenInstanceError)):
            setattr(owner, name, None)


async def test_a_look_that_fails_leaves_the_session_as_it_was(
    session: Session, bench: Bench
) -> None:
    session.approve("!a1")
    before = session.state
    assert session.decisions_file
    kept = session.decisions_file.read_text()
    session.decisions_file.write_text("{damaged")
    bench.put({A1: small_rows()[A1]})
    with pytest.raises(SnapshotError):
        await session.reload()
    assert session.state is before and A1 not in session.rows.index
    session.decisions_file.write_text(kept)
    await session.reload()
    assert A1 in session.rows.index


async def test_a_run_that_there_is_not_is_told(session: Session) -> None:
    for name, words in ((None, "taken back."), ("R1", "no run 'R1'")):
        with pytest.raises(ToolkitError, match=words):
            session.state.find_run(name)


async def test_nobody_else_reads_what_a_session_keeps_to_itself(session: Session) -> None:
    private = {name for name in {*dir(Session), *vars(session)} if _is_private(name)} - DISPLAY
    assert {"_deciding", "_looking", "_running"} <= private
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {name}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.parent != PACKAGE / "session"
        for line, name in _reads(path.read_text(encoding="utf-8"))
        if name in private
    ]
    assert found == []


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("model.session._plan.units", ["_plan"]),
        ("def f(self):\n    s = self._session\n    return s._task", ["_task"]),
        ("getattr(session, '_runs', ())", ["_runs"]),
        ("session.state.plan", []),
        ("session.__class__", []),
    ],
)
def test_the_search_finds_each_way_to_read_it(code: str, found: list[str]) -> None:
    assert [name for _, name in _reads(code)] == found


def _reads(code: str) -> Iterator[tuple[int, str]]:
    """Private names that are asked of another object than `self`."""
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Attribute(attr=name):
                own = isinstance(node.value, ast.Name) and node.value.id == "self"
            case ast.Call(func=ast.Name(id="getattr"), args=[_, ast.Constant(value=str(name)), *_]):
                own = False
            case _:
                continue
        if _is_private(name) and not own:
            yield node.lineno, name


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")
