r"""Texts from strangers as a person may safely see them, on a terminal or in a message. Pure.

Room names, ids and rows may hold anything: sequences that move the cursor, characters that turn the
direction of reading, or that can't be seen at all. What isn't plainly visible becomes `\u{202e}`; so does
a space at either end, or after another one: `chat:@a:hs:C1 ` is another row than `chat:@a:hs:C1`.
"""

import unicodedata

from toolkit.quotes import is_hidden

MARKS = 3
"""Combining marks that may follow one letter; written languages need no more, floods of them do."""


def visible(text: str, limit: int = 200, *, spaces: bool = True) -> str:
    r"""The text with everything invisible escaped, in at most `limit` characters.

    Different texts look different, as far as they are shown; a longer one ends with an ellipsis.
    `spaces=False` leaves spaces as they are, for lines that were laid out with them.

    >>> visible("Чат\u202e1\x1b[2J")
    'Чат\\u{202e}1\\u{1b}[2J'
    >>> visible("abcdef", 4)
    'abc…'
    >>> visible("chat:@a:hs:C1 ")
    'chat:@a:hs:C1\\u{20}'
    """
    spaces = spaces and ("  " in text or text[:1] == " " or text[-1:] == " ")
    plain = text.isascii() and text.isprintable() and "\\" not in text
    if plain and not spaces and len(text) <= limit:
        return text
    parts: list[str] = []
    length = marks = 0
    for index, char in enumerate(text):
        # A mark needs a letter to stand on; at the start it would change what we print before it.
        marks = marks + 1 if unicodedata.category(char)[0] == "M" else 0
        hidden = is_hidden(char) or marks > (MARKS if index >= marks else 0)
        hidden = hidden or (spaces and char == " " and _is_odd(text, index))
        escaped = hidden or (char == "\\" and text.startswith("u{", index + 1))
        part = f"\\u{{{ord(char):x}}}" if escaped else char
        parts.append(part)
        length += len(part)
        if length > limit:
            return _cut(parts, limit)
    return "".join(parts)


def _is_odd(text: str, index: int) -> bool:
    """Whether this space has no plain place between two words."""
    return index in (0, len(text) - 1) or text[index - 1] == " "


def _cut(parts: list[str], limit: int) -> str:
    """As many whole parts as leave room for the ellipsis: half an escape would lie."""
    length = sum(map(len, parts))
    while parts and length > limit - 1:
        length -= len(parts.pop())
    return "".join(parts) + "…"
