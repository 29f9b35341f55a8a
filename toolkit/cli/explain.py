"""`matrix-drift explain`: the passage of the documentation about a code, status, reason or rule.

The pages in `toolkit/docs` are the only source: a heading names what stands below it.
"""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import toolkit
from toolkit.cli.output import show_long
from toolkit.errors import ToolkitError
from toolkit.quotes import quote_odd

if TYPE_CHECKING:
    from rich.console import RenderableType

DOCS = Path(toolkit.__file__).parent / "docs"
_RULE = re.compile(r"## (\d+(?:\.\d+)?) .+")
_WORD = re.compile(r"### `(\w+)`")
_LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")
_NEW_LINE = re.compile(r"- |\d+\. |\|")


def explain(words: tuple[str, ...]) -> int:
    """Print the passage about these words, which make one; without any, the words that there are."""
    show_long(_passage(_find(words)) if words else _contents())
    return 0


def load_passages() -> dict[str, dict[str, str]]:
    """Title of a group -> word or number of a rule -> its passage, heading included."""
    report = _sections((DOCS / "report.md").read_text(encoding="utf-8"), "## ")
    groups = {
        title.removeprefix("## "): dict(_named(_sections(text, "### "), _WORD))
        for title, text in report
    }
    rules = _sections((DOCS / "rules.md").read_text(encoding="utf-8"), "## ")
    groups["Rules"] = dict(_named(rules, _RULE))
    return {title: passages for title, passages in groups.items() if passages}


def _find(words: tuple[str, ...]) -> str:
    """Raises `ToolkitError` for a word that nothing is said about."""
    known = {word: text for passages in load_passages().values() for word, text in passages.items()}
    word = re.sub(r"[\W_]+", "_", "_".join(words).casefold()).strip("_")
    if number := re.fullmatch(r"(?:rules?_)?(\d+)(?:_(\d+))?", word):
        word = ".".join(filter(None, number.groups()))
    if word not in known:
        raise ToolkitError(_unknown(" ".join(words), word, known))
    return known[word]


def _unknown(asked: str, word: str, known: Mapping[str, str]) -> str:
    near = get_close_matches(word, known, n=3) or [name for name in known if word and word in name]
    hint = f"near it are {', '.join(near[:3])}" if near else "`matrix-drift explain` lists what is"
    return f"Nothing is explained under {quote_odd(asked)}; {hint}."


def _sections(text: str, mark: str) -> Iterator[tuple[str, str]]:
    """Each heading of that level with all up to the next of it."""
    for part in re.split(rf"^(?={mark})", text, flags=re.MULTILINE)[1:]:
        yield part.partition("\n")[0], part


def _named(
    sections: Iterator[tuple[str, str]], pattern: re.Pattern[str]
) -> Iterator[tuple[str, str]]:
    for title, text in sections:
        if match := pattern.fullmatch(title):
            yield match[1], text


def _passage(text: str) -> "Iterator[RenderableType]":
    """As lines that the terminal may wrap; of a link only its words."""
    from rich.text import Text

    title, _, body = text.partition("\n")
    yield Text(title.lstrip("# ").strip("`"), "bold")
    for paragraph in body.strip().split("\n\n"):
        yield ""
        code = paragraph.startswith("```")
        lines = paragraph.split("\n")
        for line in lines[1:-1] if code else _joined(lines):
            yield Text(_LINK.sub(r"\1", line).replace("**", ""))


def _joined(lines: list[str]) -> list[str]:
    """A sentence goes on in the next line, unless that begins an item."""
    joined: list[str] = []
    for line in lines:
        if joined and not _NEW_LINE.match(line):
            joined[-1] = f"{joined[-1]} {line.strip()}"
        else:
            joined.append(line)
    return joined


def _contents() -> "Iterator[RenderableType]":
    from rich.text import Text

    for title, passages in load_passages().items():
        yield Text(title, "bold")
        yield Text(f"  {', '.join(passages)}")
