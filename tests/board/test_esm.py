"""The table's modules joined to the one that a widget may have."""

from pathlib import Path

import pytest

from tests import typescript
from toolkit.board.esm import join_modules

ENTRY = """import {greet} from "./words.js";
import {
  count,
  Counter,
} from "./numbers.js";

const hidden = "the entry's";
console.log(greet("you"), count, new Counter().add(), hidden);

export default {count};
"""
WORDS = """import {Counter} from "./numbers.js";

const hidden = "hello";
const counter = new Counter();

export function greet(whom) {
  return `${hidden} ${whom} ${counter.add()}`;
}
"""
NUMBERS = """let hidden = 0;

export const count = 41;

export class Counter {
  add() {
    hidden += 1;
    return hidden;
  }
}
"""


@pytest.fixture
def entry(tmp_path: Path) -> Path:
    for name, text in (("entry", ENTRY), ("words", WORDS), ("numbers", NUMBERS)):
        (tmp_path / f"{name}.js").write_text(text)
    return tmp_path / "entry.js"


def test_what_is_joined_does_what_the_modules_do(entry: Path, tmp_path: Path) -> None:
    """Each module runs once, before who imports it, and its names are its own."""
    if not typescript.available():
        pytest.skip(typescript.MISSING)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    alone = tmp_path / "alone" / "joined.mjs"
    alone.parent.mkdir()
    alone.write_text(join_modules(entry))
    modules, joined = (typescript.node(str(path), cwd=tmp_path) for path in (entry, alone))
    assert joined.stdout == modules.stdout == "hello you 1 41 2 the entry's\n"


def test_a_module_is_there_once_and_nothing_is_imported(entry: Path) -> None:
    joined = join_modules(entry)
    assert joined.count("class Counter") == 1 and 'from "' not in joined
    assert joined.index("$numbers =") < joined.index("$words =") < joined.index("the entry's")
    assert joined.count("export ") == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('import {greet as hello} from "./words.js";\n', "can't be joined"),
        ('import * as all from "./words.js";\n', "can't be joined"),
        ('import {greet} from "https://elsewhere/words.js";\n', "can't be joined"),
        ('import "./words.js";\n', "can't be joined"),
        ("export let moving = 1;\n", "can't be joined"),
        ("export {hidden};\n", "can't be joined"),
        ("export default 1;\n", "can't be joined"),
        ('import {hidden} from "./numbers.js";\n', "numbers.js exports no 'hidden'"),
        ('import {greet} from "./words.js";\n', "import each other: entry > words > words"),
    ],
)
def test_what_is_not_understood_is_an_error(entry: Path, line: str, words: str) -> None:
    module = entry.with_name("words.js")
    module.write_text(line + module.read_text())
    with pytest.raises(ValueError, match=words):
        join_modules(entry)
