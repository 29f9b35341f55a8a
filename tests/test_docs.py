"""The docs say all there is and nothing else: words, options, columns, rules, links; and `explain` reads them."""

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

import toolkit
from toolkit import reconcile_matrix_state, reconcile_single_room
from toolkit.board.details import make_details
from toolkit.board.items import make_item
from toolkit.cli.commands import matrix_drift
from toolkit.cli.explain import DOCS, load_passages
from toolkit.decisions.offers import NO_OFFERS
from toolkit.fleet.settings import WORKER
from toolkit.fleet.tokens import Way
from toolkit.frames import COLUMNS, FLEET_COLUMNS
from toolkit.model import (
    CONFLICTS,
    Code,
    Finding,
    Kind,
    Reason,
    RemoteState,
    Rung,
    Status,
    Unit,
    UnitKind,
)
from toolkit.sources.settings import KNOWN, TOKEN, TOKEN_FILE
from toolkit.writing.link_report import LinkReport
from toolkit.writing.report import Report

ROOT = Path(__file__).parent.parent
PAGES = sorted([*DOCS.glob("*.md"), *ROOT.glob("*.md"), ROOT / "tests/scenarios/README.md"])
_FINDINGS = {Code.MISSING_ROW, Code.WRONG_FIELD, Code.WRONG_SURFACE_REF}
_FINDINGS |= {Code.COUNTER_TOO_LOW, Code.COUNTER_TOO_HIGH}
_NUMBER = r"\d+(?:\.\d+)?"
_NUMBERS = re.compile(rf"\b[Rr]ules\s+({_NUMBER}(?:(?:,| to| and|, and)\s+{_NUMBER})*)")
_FORMER_NAME = "domain" + ".md"
PASSAGES = load_passages()


def read(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def section(text: str, title: str) -> str:
    """What stands below a heading, up to the next of the same level or above."""
    level = title.partition(" ")[0]
    after = text.partition(f"\n{title}\n")[2]
    assert after, title
    return re.split(rf"^#{{1,{len(level)}}} ", after, maxsplit=1, flags=re.MULTILINE)[0]


# Words


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ("Keys", {*Report.__annotations__, *LinkReport.__annotations__}),
        ("Statuses", {*Status}),
        ("Reasons", {*Reason}),
        ("Conflicts", CONFLICTS),
        ("Findings", _FINDINGS),
        ("Notes", {*Code} - CONFLICTS - _FINDINGS),
        ("Evidence", {*Rung}),
    ],
)
def test_every_word_is_explained_and_every_explained_word_exists(
    group: str, words: set[str]
) -> None:
    assert set(PASSAGES[group]) == {str(word) for word in words}
    for word, passage in PASSAGES[group].items():
        assert passage.partition("\n")[2].strip(), word


def test_a_word_is_explained_once() -> None:
    assert set(PASSAGES) == {
        *("Keys", "Statuses", "Reasons", "Conflicts", "Findings", "Notes", "Evidence", "Rules")
    }
    words = [word for group in PASSAGES.values() for word in group]
    assert len(words) == len(set(words))


def test_a_conflict_says_which_rule_it_comes_from() -> None:
    for code, passage in PASSAGES["Conflicts"].items():
        assert re.search(rf"\[rules {_NUMBER}\]\(rules\.md#", passage), code


def test_every_kind_of_room_is_explained() -> None:
    assert {f"`{kind}`" for kind in Kind} <= set(re.findall(r"`\w+`", PASSAGES["Rules"]["2.1"]))


# Options and settings


def _listed(text: str) -> set[str]:
    items = re.findall(r"^- ((?:`-[\w-]+`(?:, )?)+): ", text, re.MULTILINE)
    return {option for item in items for option in re.findall(r"`(-[\w-]+)`", item)}


def _told(command: str) -> set[str]:
    """The options that stand below a command, with those of the groups that it links to."""
    page = read("command-line.md")
    text = section(page, f"## {command}")
    told = _listed(text)
    for group in re.findall(r"\(#options-of-([\w-]+)\)", text):
        shared = _listed(section(page, f"### Options of {group.replace('-', ' ')}"))
        assert shared, group
        assert not told & shared, (command, group)
        told |= shared
    return told


def _options(command: click.Command) -> set[str]:
    parameters = [p for p in command.params if isinstance(p, click.Option)]
    return {name for option in parameters for name in [*option.opts, *option.secondary_opts]}


def _commands() -> dict[str, click.Command]:
    """Each command by its whole name, those of a group as well."""
    found = dict(matrix_drift.commands)
    for name, command in matrix_drift.commands.items():
        if isinstance(command, click.Group):
            found |= {f"{name} {sub}": inner for sub, inner in command.commands.items()}
    return found


@pytest.mark.parametrize("name", sorted(_commands()))
def test_every_option_is_explained_and_every_explained_option_exists(name: str) -> None:
    assert _told(name) == _options(_commands()[name])


def test_the_commands_own_options_are_explained_and_no_command_that_does_not_exist() -> None:
    assert _told("matrix-drift") == _options(matrix_drift) | {"--help", "-h"}
    page = read("command-line.md")
    told = set(re.findall(r"^## ([a-z]+)$", page, re.MULTILINE))
    told |= set(re.findall(r"^## ([a-z]+ [a-z]+)$", page, re.MULTILINE))
    assert told == set(_commands())
    named = re.findall(r"^matrix-drift ([a-z]+)|`matrix-drift ([a-z]+)", page, re.MULTILINE)
    assert {name for pair in named for name in pair if name} <= set(matrix_drift.commands)


def test_every_setting_and_variable_is_explained() -> None:
    text = section(read("command-line.md"), "## Environment and settings file")
    words = set(re.findall(r"`(\w+)`", text))
    assert set(KNOWN) | {TOKEN, TOKEN_FILE, "MATRIX_HOMESERVER", "BOT_DATABASE"} == words


def test_every_exit_code_is_explained() -> None:
    text = section(read("command-line.md"), "## Exit codes")
    assert re.findall(r"^\| (\d) \|", text, re.MULTILINE) == ["0", "2", "1"]


# Frames


@pytest.mark.parametrize("frame", COLUMNS)
def test_every_column_is_explained_in_the_order_of_the_frame(frame: str) -> None:
    text = section(read("notebook.md"), f"### The frame {frame}")
    assert re.findall(r"^- `(\w+)`: ", text, re.MULTILINE) == list(COLUMNS[frame])


def test_no_frame_is_explained_that_does_not_exist() -> None:
    frames = re.findall(r"^### The frame (\w+)$", read("notebook.md"), re.MULTILINE)
    assert sorted(frames) == sorted(COLUMNS)


def test_every_column_of_a_fleets_frames_is_explained_in_its_order() -> None:
    page = read("fleet.md")
    assert re.findall(r"^### The frame (\w+)$", page, re.MULTILINE) == ["bots", "drift"]
    bots = section(page, "### The frame bots")
    fields = FLEET_COLUMNS["bots"]
    assert re.findall(r"^- `(\w+)`: (.+)$", bots, re.MULTILINE) == [
        (name, field.says) for name, field in fields.items()
    ]
    drift = section(page, "### The frame drift")
    assert re.findall(r"^- `(\w+)`: ", drift, re.MULTILINE) == ["line", "bot"]
    assert list(FLEET_COLUMNS["drift"]) == ["line", "bot", *COLUMNS["drift"]]


def test_every_key_of_a_fleets_file_is_explained() -> None:
    text = section(read("fleet.md"), "## The file")
    keys = {*re.findall(r"^- `(\w+)`: ", text, re.MULTILINE)}
    assert keys == {*map(str, Way), WORKER}


# Rules


def _mentions() -> Iterator[tuple[str, str]]:
    """Each number of a rule that code, tests and lessons name, and where."""
    for path in _sources():
        for found in _NUMBERS.findall(path.read_text(encoding="utf-8")):
            for number in re.findall(_NUMBER, found):
                yield path.relative_to(ROOT).as_posix(), number


def _sources() -> Iterator[Path]:
    for folder in ("toolkit", "tests", "notebooks"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in {".py", ".md", ".yaml", ".ipynb", ".js"}:
                yield path


def test_a_number_that_is_mentioned_names_a_rule() -> None:
    mentions = list(_mentions())
    assert mentions
    assert [(path, number) for path, number in mentions if number not in PASSAGES["Rules"]] == []


def test_no_comment_names_the_former_place_of_the_rules() -> None:
    sources = [path for path in _sources() if _FORMER_NAME in path.read_text(encoding="utf-8")]
    assert sources == []


def test_the_rules_are_numbered_without_a_gap() -> None:
    second = [f"2.{number}" for number in range(1, 11)]
    assert list(PASSAGES["Rules"]) == ["1", "2", *second, "3", "4", "5", "6"]


@pytest.mark.parametrize("function", [reconcile_matrix_state, reconcile_single_room])
def test_the_signatures_of_the_bots_functions_are_theirs(function: Callable[..., object]) -> None:
    told = PASSAGES["Rules"]["5"].partition(f"async def {function.__name__}(")[2]
    names = re.findall(r"(\w+)(?:=\w+)?,", told.partition(") ->")[0])
    assert names == list(inspect.signature(function).parameters)


def test_every_rule_names_what_shows_it_and_every_scenario_file_shows_a_rule() -> None:
    shown: set[str] = set()
    for number, passage in PASSAGES["Rules"].items():
        told = passage.rpartition("\nShown by:")[2]
        links = re.findall(r"\]\(\.\./\.\./([^)#]+)\)", told)
        assert links or number == "2"
        shown.update(links)
    files = ROOT.glob("tests/scenarios/**/*.yaml")
    scenarios = {path.relative_to(ROOT).as_posix() for path in files}
    assert scenarios <= shown


# All pages


def _anchors(page: Path) -> set[str]:
    """The anchors of headings, as GitHub makes them."""
    text = re.sub(
        r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    found: list[str] = []
    for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        before = sum(1 for other in found if re.sub(r"-\d+$", "", other) == anchor)
        found.append(f"{anchor}-{before}" if anchor in found else anchor)
    return set(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), target
        assert not anchor or anchor in _anchors(path), target


def test_every_page_is_linked_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert {page.name for page in DOCS.glob("*.md")} == set(
        re.findall(r"\(toolkit/docs/([\w-]+\.md)\)", readme)
    )
    assert len(readme.splitlines()) <= 210


def test_the_order_of_reading_names_files_about_as_long_as_they_are() -> None:
    text = section(read("architecture.md"), "## Order of reading")
    files = re.findall(r"^\d\. \[`[^\]]+\]\(\.\./([^)]+)\) \((\d+)", text, re.MULTILINE)
    assert len(files) == 5
    package = Path(toolkit.__file__).parent
    for name, told in files:
        lines = len((package / name).read_text(encoding="utf-8").splitlines())
        assert abs(lines - int(told)) <= 40, (name, lines)


def test_every_layer_stands_in_the_architecture() -> None:
    text = section(read("architecture.md"), "## The layers")
    package = Path(toolkit.__file__).parent
    parts = {path.stem for path in package.iterdir() if not path.name.startswith("_")}
    parts -= {"py"}
    told = set(re.findall(r"`(\w+)`", text.rpartition("\n\nOne library")[0]))
    assert parts - told == set()


def test_an_opened_conflict_of_the_review_names_its_passage() -> None:
    wrong = Finding(unit="!a", code=Code.WRONG_FIELD, key="matrix_room:!a", cause="it is stale")
    open_ = Finding(unit="!a", code=Code.OWNER_LEFT, key="matrix_room:!a", cause="they left")
    unit = Unit(id="!a", kind=UnitKind.ROOM, status=Status.CONFLICT, findings=(open_, wrong))
    item = make_item(unit, NO_OFFERS, RemoteState("@bot:hs", {}), "")
    assert [fact.cause for fact in make_details(item, unit).facts] == [
        "they left (more: matrix-drift explain owner_left)",
        "it is stale",
    ]
    assert item.cause == "they left"
