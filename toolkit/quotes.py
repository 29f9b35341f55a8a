"""Strings from rooms and rows as they can stand inside a sentence. Pure.

Ids and keys may hold anything, a space at the end too. Nothing is escaped here: that is for whoever
shows the sentence (`text.visible`).
"""

import re
import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})
# Letters and marks that leave no ink (Unicode, Default_Ignorable_Code_Point), and the empty Braille.
_INKLESS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0") | {
    chr(code) for code in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))
}
_PLAIN = re.compile(r"[!#-\[\]-~]+")
_QUOTED = str.maketrans({'"': '\\"', "\\": "\\\\"})


def quote_odd(text: str) -> str:
    """An id or key as it is, or in quotes where a reader couldn't tell where it ends, or what it is.

    >>> quote_odd("@alice:hs"), quote_odd("@alice:hs "), quote_odd("@alice:hs, or @bob:hs")
    ('@alice:hs', '"@alice:hs "', '"@alice:hs, or @bob:hs"')
    """
    if _PLAIN.fullmatch(text):  # as nearly all are: thousands of lines are told at once
        return text
    if text and not any(char in ' "\\' or is_hidden(char) for char in text):
        return text
    return f'"{text.translate(_QUOTED)}"'


def is_hidden(char: str) -> bool:
    """Whether a character can't be seen. A space can, between two words."""
    if char == " ":
        return False
    return unicodedata.category(char) in _HIDDEN or char in _INKLESS


def quote_id(text: str) -> str:
    """An id of a bot's own as `quote_odd` has it; a composite one is a JSON list, which shows its own ends.

    >>> quote_id("7"), quote_id('["a b",""]')
    ('7', '["a b",""]')
    """
    return text if text.startswith('["') and text.endswith('"]') else quote_odd(text)
