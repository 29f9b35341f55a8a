"""Chat ids and names: ASCII digits, in full, and patterns that are refused when they are made."""

import dataclasses
from typing import Any

import click
import pytest

from toolkit.cli.commands import matrix_drift
from toolkit.convention import HIGHEST_NUMBER, Convention, chat_number
from toolkit.errors import ConventionError
from toolkit.sources.settings import CONVENTION


@pytest.mark.parametrize(
    ("chat_id", "number"), [("C1", 1), ("C42", 42), ("C999999999", HIGHEST_NUMBER)]
)
def test_a_chat_id_is_c_and_a_number(chat_id: str, number: int) -> None:
    assert chat_number(chat_id) == number


@pytest.mark.parametrize(
    "other",
    [
        "",
        "C",
        "C0",
        "C01",
        "c1",
        "С1",
        "C-1",
        "C1 ",
        "C1\n",
        " C1",
        "C٣",
        "C1٣",
        "C²",
        "C1_0",
        "C1000000000",
        "C" + "9" * 5_000,
        "unregistered:!r",
        "unregistered:C1",
        "C1:C2",
        None,
        1,
        1.0,
        True,
        ["C1"],
        {"chat_id": "C1"},
        b"C1",
    ],
)
def test_anything_else_is_none(other: object) -> None:
    assert chat_number(other) is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Чат",
        "Чат ",
        "Чат 0",
        "Чат 07",
        "Чат ٣",
        "Чат  7",
        "чат 7",
        "Чат 7.",
        "Чат 7\n",
        "мой Чат 7",
        "Чат\u00a07",
        "Чат 7\u200b",
        "\u202eЧат 7",
        "Чат " + "9" * 5_000,
        "C7C8",
    ],
)
def test_a_name_that_does_not_match_in_full_tells_nothing(name: str) -> None:
    assert Convention().chat_id_of(name) is None


@pytest.mark.parametrize("name", ["Чат 7", "Chat 7", "C 7", "C7"])
def test_the_default_names_tell_the_chat_id(name: str) -> None:
    assert Convention().chat_id_of(name) == "C7"


def test_a_template_is_taken_literally() -> None:
    convention = Convention(room_name_patterns=["[a.c] {n} (x*)"])
    assert convention.chat_id_of("[a.c] 7 (x*)") == "C7"
    assert convention.chat_id_of("[abc] 7 (x*)") is None


def test_a_regular_expression_gives_its_group_n_or_its_first() -> None:
    assert Convention(room_name_patterns=[r"(\d+)/(\d+)"]).chat_id_of("7/8") == "C7"
    assert Convention(room_name_patterns=[r"(\w+)-(?P<n>\d+)"]).chat_id_of("a-8") == "C8"


def test_what_a_regular_expression_lets_through_must_still_be_a_number() -> None:
    convention = Convention(room_name_patterns=[r"T(\d+)", r"T(x)?"])
    assert [convention.chat_id_of(name) for name in ("T٣", "T0", "T1234567890", "T")] == [None] * 4


def test_the_next_pattern_is_asked_when_one_gives_no_number() -> None:
    assert Convention(room_name_patterns=[r"(.)\d", "T{n}"]).chat_id_of("T5") == "C5"


def test_a_room_without_a_name_is_called_by_the_default() -> None:
    assert (
        Convention(default_room_name="Gespräch {n} %s {m}").room_name("C4") == "Gespräch 4 %s {m}"
    )


@pytest.mark.parametrize("pattern", ["(", "[", "(?P<n>"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ConventionError, match="is no pattern"):
        Convention(room_name_patterns=[pattern])


def test_a_pattern_without_a_number_is_refused() -> None:
    with pytest.raises(ConventionError, match="no number in it"):
        Convention(room_name_patterns=["Чат"])


@pytest.mark.parametrize("field", ["room_name_patterns", "helper_accounts", "former_accounts"])
def test_a_text_in_place_of_a_list_is_refused(field: str) -> None:
    with pytest.raises(ConventionError, match="must be a list"):
        Convention(**{field: "@admin:hs"})


@pytest.mark.parametrize("field", ["helper_accounts", "former_accounts"])
def test_conventions_are_values(field: str) -> None:
    listed: dict[str, Any] = {field: ["@a:hs"]}
    fixed: dict[str, Any] = {field: ("@a:hs",)}
    one, other = Convention(**listed), Convention(**fixed)
    assert one == other != Convention()
    assert hash(one) == hash(other)


def test_everything_that_makes_a_convention_is_a_setting_and_an_option_wherever_one_is() -> None:
    names = {field.name for field in dataclasses.fields(Convention) if field.init}
    assert set(CONVENTION) == names
    assert isinstance(matrix_drift, click.Group)
    taken = {
        name: {option.name for option in command.params} & names
        for name, command in matrix_drift.commands.items()
    }
    assert {name for name, options in taken.items() if options} == {
        *(
            "check",
            "plan",
            "apply",
            "settle",
            "fit",
            "snapshot",
            "ignore",
            "reject",
            "defer",
            "withdraw",
        ),
    }
    assert taken.pop("fit") == {"helper_accounts", "former_accounts"}  # it has no chats to name
    assert all(options == names for options in taken.values() if options)


@pytest.mark.parametrize("name", ["helper_accounts", "former_accounts"])
@pytest.mark.parametrize("account", ["old", "old:hs", "@old", "@old:", " @old:hs", ""])
def test_an_account_that_is_no_user_is_refused_with_what_to_write(name: str, account: str) -> None:
    with pytest.raises(ConventionError, match=f"{name}: .* is no user; write it as '@name:server'"):
        Convention(**{name: [account]})  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["@old:hs", None, 7])
def test_accounts_are_a_list(value: Any) -> None:
    with pytest.raises(ConventionError, match="former_accounts must be a list of texts"):
        Convention(former_accounts=value)


def test_accounts_of_any_server_are_taken() -> None:
    accounts = ("@old:example.org:8448", "@_irc_bot:[::1]", "@Ольга:hs")
    assert Convention(former_accounts=[*accounts]).former_accounts == accounts
