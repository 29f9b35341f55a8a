"""What is ignored on purpose: until when, and what makes it another matter."""

from datetime import date, datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.bench import A1, ALICE, BOB, C1, C2, UA, Bench, small_rows, text
from toolkit.decisions.decision import Decision, Ignored, matter_of
from toolkit.decisions.ignoring import (
    as_ignored,
    read_reason,
    read_until,
    say_ignored,
    say_over,
    today,
)
from toolkit.decisions.ledger import Ledger, Vote
from toolkit.decisions.ledger_file import (
    LedgerText,
    file_beside,
    forget,
    load_beside,
    load_ledger,
    save_ledger,
)
from toolkit.decisions.record import NOTHING_DECIDED, Record
from toolkit.errors import SnapshotError, ToolkitError
from toolkit.model import Code, Plan, Unit
from toolkit.planning.plan import plan_repairs
from toolkit.records import load_records

MAY = date(2027, 5, 1)


def plan_of(*gone: str, **other: str) -> Plan:
    """The small bot's, without some rows and with Bob's room row as it is given."""
    rows = {key: text(row) for key, row in small_rows().items() if key not in gone}
    rows |= {f"matrix_room:!{room}": text for room, text in other.items()}
    return plan_repairs(Bench(Path("none")).remote(), load_records(rows.items()))


def ignoring(plan: Plan, *unit_ids: str, until: date | None = None) -> Ledger:
    units = [unit for unit in plan.units if unit.id in unit_ids]
    return Ledger().decide(Vote.IGNORED, as_ignored(units, "a test room", until))


def record_of(plan: Plan, ledger: Ledger) -> Record:
    return Record.of(plan, ledger.standing(plan), ledger)


class TestDays:
    def test_the_last_day_is_included(self) -> None:
        plan = plan_of(A1)
        ledger = ignoring(plan, "!a1", until=MAY)
        assert ledger.on(MAY).standing(plan) == {"!a1": Vote.IGNORED}
        over = ledger.on(date(2027, 5, 2))
        assert over.standing(plan) == {"!a1": Vote.PENDING} and over.outlived(plan.units[0])
        assert over.on(MAY).standing(plan) == {"!a1": Vote.IGNORED}
        assert over.decide(Vote.DEFERRED, {}).settled().today == over.today

    def test_without_a_day_no_day_changes_anything(self) -> None:
        ledger = ignoring(plan_of(A1), "!a1")
        assert ledger.on(MAY) is ledger

    def test_what_was_decided_on_another_day_is_looked_at_as_a_whole(self) -> None:
        ledger = ignoring(plan_of(A1), "!a1", until=MAY)
        assert ledger.on(MAY).decided_since(ledger) is None

    @pytest.mark.parametrize("value", [None, ""])
    def test_no_day_is_for_good(self, value: str | None) -> None:
        assert read_until(value, MAY) is None

    @pytest.mark.parametrize("value", ["2027-05-01", MAY])
    def test_a_day_is_read(self, value: str | date) -> None:
        assert read_until(value, MAY) == MAY

    @pytest.mark.parametrize(
        ("value", "why"),
        [
            ("2027-04-30", "2027-04-30 has passed: today is 2027-05-01."),
            ("2027-02-30", "'2027-02-30' is no day: write it as 2027-05-01."),
            ("soon", "'soon' is no day: write it as 2027-05-01."),
            (datetime(2027, 6, 1), "'2027-06-01 00:00:00' is no day"),  # noqa: DTZ001
        ],
    )
    def test_what_is_no_day_or_has_passed_is_refused(self, value: str | date, why: str) -> None:
        with pytest.raises(ToolkitError) as caught:
            read_until(value, MAY)
        assert why in str(caught.value)

    def test_today_is_a_day(self) -> None:
        assert type(today()) is date


class TestWords:
    def test_a_reason_is_one_line_and_not_empty(self) -> None:
        assert read_reason(" a\n test\troom ") == "a test room"
        for reason, why in ((" \n", "say why"), ("x" * 501, "at most 500 characters")):
            with pytest.raises(ToolkitError, match=why):
                read_reason(reason)

    def test_who_until_when_and_why_as_far_as_it_is_known(self) -> None:
        assert say_ignored(Ignored(reason="x")) == "x"
        assert say_ignored(Ignored(reason="x", by="eva")) == "by eva: x"
        assert say_ignored(Ignored(reason="x", until=MAY)) == "until 2027-05-01: x"

    def test_why_it_no_longer_is(self) -> None:
        assert say_over(Ignored(until=MAY), date(2027, 5, 2)) == "it was ignored until 2027-05-01"
        assert "another change or conflict" in say_over(Ignored(until=MAY), MAY)


class TestAnotherMatter:
    def test_another_change_is_not_ignored(self) -> None:
        ledger = ignoring(plan_of(A1), "!a1")
        assert ledger.standing(plan_of(A1, C1)) == {"!a1": Vote.PENDING}

    def test_another_conflict_is_not_ignored(self) -> None:
        plan = plan_of(b1="{")
        [unit] = plan.units
        ledger = ignoring(plan, "!b1")
        assert unit.change is None and ledger.vote_on(unit) is Vote.IGNORED
        [finding] = unit.findings
        for other in (
            replace(finding, cause="it is something else"),
            replace(finding, code=Code.OWNER_LEFT),
            replace(finding, key="matrix_room:!b2"),
        ):
            assert ledger.vote_on(replace(unit, findings=(other,))) is Vote.PENDING
        assert ledger.vote_on(replace(unit, findings=(replace(finding, local="[]"),)))
        assert ledger.vote_on(plan_of("matrix_room:!b1").units[0]) is Vote.PENDING

    def test_what_a_change_is_found_by_is_no_matter_of_its_own(self) -> None:
        [unit] = plan_of(A1).units
        assert unit.change and matter_of(unit) == ""
        assert matter_of(replace(unit, change=None)) != ""

    def test_a_user_row_that_is_ignored_does_not_go_along(self) -> None:
        plan = plan_of(A1, UA)
        ledger = ignoring(plan, ALICE).decide(Vote.APPROVED, {"!a1": Decision()})
        assert ledger.standing(plan) == {ALICE: Vote.IGNORED, "!a1": Vote.APPROVED}


class TestFile:
    def test_it_comes_back_as_it_was_saved(self, tmp_path: Path) -> None:
        plan = plan_of(A1, b1="{")
        ledger = ignoring(plan, "!a1", until=MAY).decide(
            Vote.IGNORED, as_ignored([_unit(plan, "!b1")], "ё \ud800", None)
        )
        save_ledger(tmp_path / "file", LedgerText(ledger, plan).text())
        assert load_ledger(tmp_path / "file") == ledger
        assert '"until": "2027-05-01"' in (tmp_path / "file").read_text()

    @pytest.mark.parametrize(
        ("section", "line"),
        [
            ("ignored", '{"reason": "x", "untill": "2027-05-01"}'),
            ("ignored", '{"reason": "x", "until": "soon"}'),
            ("rejected", '{"reason": "x"}'),
            ("decisions", '{"until": "2027-05-01"}'),
        ],
    )
    def test_what_is_unknown_is_refused(self, tmp_path: Path, section: str, line: str) -> None:
        sections = {"decisions": "{}", section: f'{{"!a1": {line}}}'}
        told = ", ".join(f'"{name}": {text}' for name, text in sections.items())
        (tmp_path / "file").write_text(f'{{"version": 1, {told}}}')
        with pytest.raises(SnapshotError, match="A decision can't be read"):
            load_ledger(tmp_path / "file")

    def test_there_may_be_none(self, tmp_path: Path) -> None:
        assert load_beside(tmp_path / "bot.db") == load_beside(None) == Ledger()

    def test_what_was_written_is_forgotten(self, tmp_path: Path) -> None:
        plan, path = plan_of(A1, C2), tmp_path / "bot.db"
        path.touch()
        save_ledger(file_beside(path), LedgerText(ignoring(plan, "!a1", "!a2"), plan).text())
        forget(path, plan, ["!a1"])
        forget(None, plan, ["!a1"])
        assert load_beside(path) == ignoring(plan, "!a2")


class TestRecord:
    def test_what_is_ignored_is_no_part_of_what_is_left(self) -> None:
        plan = plan_of(A1, b1="{")
        record = record_of(plan, ignoring(plan, "!a1"))
        assert [unit.id for unit in record.part(plan).units] == ["!b1"]
        both = record_of(plan, ignoring(plan, "!a1", "!b1"))
        assert both.part(plan).in_sync and not plan.in_sync
        assert NOTHING_DECIDED.part(plan) is plan
        assert NOTHING_DECIDED.vote(plan.units[0]) is Vote.PENDING

    def test_what_no_longer_is_says_why(self) -> None:
        ledger = ignoring(plan_of(A1), "!a1", until=MAY)
        same, other = plan_of(A1), plan_of(A1, C1)
        assert record_of(same, ledger.on(date(2027, 6, 1))).returned == {
            "!a1": "it was ignored until 2027-05-01"
        }
        assert "another change" in record_of(other, ledger).returned["!a1"]
        assert not record_of(same, ledger).returned and not record_of(other, ledger).ignored

    def test_who_names_a_unit_overrules_what_was_decided(self) -> None:
        plan = plan_of(A1, C2, f"matrix_user:{BOB}")
        ledger = ignoring(plan, "!a1").decide(
            Vote.REJECTED,
            {BOB: Decision(_unit(plan, BOB).change.fingerprint)},  # type: ignore[union-attr]
        )
        record = record_of(plan, ledger)
        assert record.refusals().keys() == {"!a1", BOB}
        assert record.refusals(["!a1"]).keys() == {BOB}
        left = record.left(plan.units)
        assert left[BOB] == "rejected" and left["!a1"].startswith("ignored by ")


def _unit(plan: Plan, unit_id: str) -> Unit:
    unit = plan.unit(unit_id)
    assert unit
    return unit
