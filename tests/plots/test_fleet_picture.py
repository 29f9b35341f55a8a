"""Bot × cause as a picture: what stands in it, where, and in words."""

import warnings

import pytest

from toolkit.plots import BotLine, Picture, draw_fleet


def texts(picture: Picture) -> list[str]:
    picture._repr_png_()
    return [text.get_text() for text in picture.texts]


def test_a_line_per_bot_with_most_first_and_failed_ones_last() -> None:
    bots = [
        BotLine("calm"),
        BotLine("few", {"a row is missing": 2}),
        BotLine("dead", failed="no token"),
        BotLine("many", {"a row is missing": 30, "a field is wrong": 1}),
    ]
    picture = draw_fleet(bots)
    found = texts(picture)
    assert found[0] == "4 bots: 1 failed, 2 adrift"
    assert found[1:3] == ["a row is missing", "a field is wrong"]
    assert found[3:] == ["many", "30", "1", "few", "2", "dead", "failed: no token", "1 bot in sync"]
    assert picture.words == (
        "4 bots: 1 failed, 2 adrift. few: a row is missing 2. dead: failed: no token. "
        "many: a row is missing 30, a field is wrong 1."
    )


def test_the_more_the_darker_and_numbers_stay_in_their_cells() -> None:
    bots = [BotLine(f"b{count}", {"cause": count}) for count in (1, 5, 25, 125, 99_999)]
    picture = draw_fleet(bots)
    cells = [artist for artist in picture.get_children() if artist.get_label() == "cell"]
    assert len({tuple(cell.get_facecolor()[0]) for cell in cells}) == 5  # type: ignore[attr-defined]
    assert "99k" in texts(picture)


@pytest.mark.parametrize(("adrift", "failed"), [(60, 0), (60, 60), (0, 60)])
def test_of_very_many_some_are_drawn_and_the_others_counted(adrift: int, failed: int) -> None:
    bots = [BotLine(f"a{n}", {"cause": n + 1}) for n in range(adrift)]
    bots += [BotLine(f"f{n}", failed="why") for n in range(failed)]
    picture = draw_fleet(bots)
    drawn = [text for text in texts(picture) if text[0] in "af" and text[1:].isdigit()]
    assert len(drawn) in (20, 40)
    assert texts(picture)[-1] == f"{len(bots) - len(drawn)} bots not shown"


def test_hostile_names_and_reasons_are_drawn_as_plain_text() -> None:
    odd = "$x$\x1b[2J\u202e" + "n" * 300
    with warnings.catch_warnings(action="error"):
        picture = draw_fleet([BotLine(odd, failed=odd), BotLine("b", {odd: 1})])
        shown = texts(picture)
    assert not any(sign in text for text in [*shown, picture.words] for sign in ("\x1b", "\u202e"))
    assert picture.get_figwidth() < 30
