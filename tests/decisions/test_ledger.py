"""What a person decided, and the file that keeps it."""

import stat
from pathlib import Path

import pytest

from tests.bench import ALICE, Bench, small_rows
from toolkit.decisions.decision import Decision, agreed_units
from toolkit.decisions.ledger import Ledger, Vote
from toolkit.decisions.ledger_file import LedgerText, dump_ledger, load_ledger, save_ledger
from toolkit.errors import SnapshotError
from toolkit.model import Choices, Plan, Unit
from toolkit.planning.plan import plan_repairs
from toolkit.records import chat_key, encode_row, load_records, room_key, user_key

A1, A2, UA = room_key("!a1"), room_key("!a2"), user_key(ALICE)


def plan_without(*keys: str) -> Plan:
    rows = {key: encode_row(row) for key, row in small_rows().items() if key not in keys}
    return plan_repairs(Bench(Path("none")).remote(), load_records(rows.items()))


def change_of(unit: Unit) -> str | None:
    return unit.change.fingerprint if unit.change else None


def approving(plan: Plan, *unit_ids: str) -> Ledger:
    votes = {u.id: Decision(change_of(u), by="ann") for u in plan.units if u.id in unit_ids}
    return Ledger().decide(Vote.APPROVED, votes)


def test_a_vote_holds_for_the_change_that_was_shown() -> None:
    plan = plan_without(A1, UA)
    ledger = approving(plan, "!a1")
    assert ledger.standing(plan)["!a1"] is Vote.APPROVED
    other = plan_without(A1, chat_key(ALICE, "C1"))
    assert ledger.moved(other) == {"!a1"}
    assert ledger.standing(other) == {"!a1": Vote.PENDING}
    assert not ledger.binding(other)["!a1"].agreed


def test_a_user_row_goes_with_an_approved_room() -> None:
    plan = plan_without(A1, UA)
    assert approving(plan, "!a1").standing(plan) == {ALICE: Vote.APPROVED, "!a1": Vote.APPROVED}


def test_a_user_row_that_was_rejected_or_put_off_does_not_go_along() -> None:
    plan = plan_without(A1, UA)
    [user, _] = plan.units
    for vote in (Vote.REJECTED, Vote.DEFERRED):
        ledger = approving(plan, "!a1").decide(vote, {ALICE: Decision(change_of(user))})
        assert ledger.standing(plan) == {ALICE: vote, "!a1": Vote.APPROVED}
        assert [unit.id for unit in agreed_units(plan, ledger.binding(plan))] == ["!a1"]


def test_a_user_row_that_was_approved_before_it_changed_does_not_go_along() -> None:
    plan = plan_without(A1, UA)
    ledger = approving(plan, "!a1").decide(Vote.APPROVED, {ALICE: Decision("another change")})
    assert ledger.standing(plan) == {ALICE: Vote.PENDING, "!a1": Vote.APPROVED}


def test_a_no_holds_for_the_change_that_was_shown_too() -> None:
    plan = plan_without(A1)
    [unit] = plan.units
    ledger = Ledger().decide(Vote.REJECTED, {"!a1": Decision(change_of(unit))})
    assert ledger.standing(plan) == {"!a1": Vote.REJECTED}
    other = plan_without(A1, chat_key(ALICE, "C1"))
    assert ledger.standing(other) == {"!a1": Vote.PENDING}


def test_a_decision_taken_back_leaves_nothing() -> None:
    plan = plan_without(A1, A2)
    ledger = approving(plan, "!a1", "!a2").decide(Vote.PENDING, {"!a2": Decision()})
    assert ledger == approving(plan, "!a1")


def test_only_what_was_approved_counts_as_a_choice() -> None:
    chosen = Decision(choices=Choices(chat_id="C7"))
    ledger = Ledger().decide(Vote.APPROVED, {"!a": chosen, "!b": Decision()})
    assert ledger.decide(Vote.DEFERRED, {"!c": chosen}).choices == {"!a": Choices(chat_id="C7")}


def test_the_file_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    plan = plan_without(A1, A2, UA)
    ledger = approving(plan, "!a1", ALICE)
    ledger = ledger.decide(Vote.REJECTED, {"!a2": Decision("abc", by="bob")})
    ledger = ledger.decide(Vote.DEFERRED, {"!\ud800": Decision(None, Choices(chat_id="C7"))})
    save_ledger(tmp_path / "file", LedgerText(ledger, plan).text())
    assert load_ledger(tmp_path / "file") == ledger


def test_the_file_is_the_same_whatever_the_order_of_deciding() -> None:
    plan = plan_without(A1, A2)
    one, two = approving(plan, "!a1").votes, approving(plan, "!a2").votes
    assert dump_ledger(Ledger(one | two), plan) == dump_ledger(Ledger(two | one), plan)


def test_the_file_has_a_line_for_each_unit_that_says_what_would_be_done() -> None:
    plan = plan_without(A1, A2)
    lines = dump_ledger(approving(plan, "!a1", "!a2"), plan).splitlines()
    assert [line for line in lines if "!a1" in line and "apply would insert the room row" in line]
    assert len(lines) == 4


def test_a_file_whose_last_line_was_deleted_is_read(tmp_path: Path) -> None:
    plan = plan_without(A1, A2)
    file = tmp_path / "file"
    lines = dump_ledger(approving(plan, "!a1", "!a2"), plan).splitlines()
    file.write_text("\n".join(lines[:2] + lines[3:]))
    assert load_ledger(file) == approving(plan, "!a1")


def test_the_file_is_no_wider_open_than_the_database(tmp_path: Path) -> None:
    database = tmp_path / "bot.db"
    database.touch(0o640)
    database.chmod(0o640)
    save_ledger(tmp_path / "file", b"{}", like=database)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) & ~0o640 == 0
    save_ledger(tmp_path / "alone", b"{}")
    assert stat.S_IMODE((tmp_path / "alone").stat().st_mode) == 0o600


def test_a_folder_that_takes_no_file_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="Can't write the decisions"):
        save_ledger(tmp_path / "none" / "file", b"{}")
    (tmp_path / "taken").mkdir()
    with pytest.raises(SnapshotError, match="Can't write the decisions"):
        save_ledger(tmp_path / "taken", b"{}")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[]", "holds no decisions"),
        ("{", "it is no JSON"),
        ("[" * 100_000, "it is no JSON"),
        ('{"version": 2, "decisions": {}}', "reads 1"),
        ('{"version": 1, "decisions": {}, "rejected": []}', "no object"),
        ('{"version": 1, "decisions": {"!a": {"change": 5}}}', "can't be read"),
        ('{"version": 1, "decisions": {"!a": {"chnage": "abc"}}}', "unknown field `chnage`"),
        ('{"version": 1, "decisions": {"!a": {"choices": {"chatid": "C1"}}}}', "unknown field"),
        ('{"version": 1, "decisions": {"!a": {"change": "a"}, "!a": {}}}', "names '!a' twice"),
        ('{"version": 1, "decisions": {}, "x": ' + "1" * 5_000 + "}", "digits"),
        ("\udcff", "not UTF-8"),
    ],
)
def test_a_file_that_is_none_is_one_sentence(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(SnapshotError, match=why):
        load_ledger(file)


def test_a_no_among_the_decisions_is_a_no(tmp_path: Path) -> None:
    plan = plan_without(A1)
    [unit] = plan.units
    line = f'{{"change": "{change_of(unit)}", "agreed": false}}'
    (tmp_path / "file").write_text(f'{{"version": 1, "decisions": {{"!a1": {line}}}}}')
    assert load_ledger(tmp_path / "file").standing(plan) == {"!a1": Vote.REJECTED}
    line = '{"agreed": false}'  # to whatever would be written
    (tmp_path / "file").write_text(f'{{"version": 1, "decisions": {{"!a1": {line}}}}}')
    assert load_ledger(tmp_path / "file").standing(plan) == {"!a1": Vote.REJECTED}


def test_no_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="No such file"):
        load_ledger(tmp_path / "none")
