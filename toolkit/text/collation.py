"""In which order a person expects texts: numbers by their value, letters whatever their case and accents. Pure."""

import re
import unicodedata

_NUMBER = re.compile("[0-9]+")
_ACCENTS = re.compile("[\u0300-\u036f]")
_SIGNS = "_-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$"
_PLACES = {ord(sign): chr(2 + place) for place, sign in enumerate(_SIGNS)}
"""Signs before digits before letters; a space before them all."""


def natural_key(text: str) -> str:
    """What sorts as a person would sort the text; equal for texts that differ in case or accents only.

    >>> sorted(["@b10:hs", "@b9:hs", "@Á:hs", "C2", "c10", "Ёж", "елка", ""], key=natural_key)
    ['', '@Á:hs', '@b9:hs', '@b10:hs', 'C2', 'c10', 'Ёж', 'елка']
    """
    folded = text.casefold()
    if not folded.isascii():
        bare = _ACCENTS.sub("", unicodedata.normalize("NFD", folded).replace("и\u0306", "й"))
        folded = unicodedata.normalize("NFC", bare)
    return _NUMBER.sub(_by_value, folded.translate(_PLACES).replace(" ", "\1"))


def _by_value(found: re.Match[str]) -> str:
    """A longer number is a higher one. `0` keeps its place between signs and letters."""
    digits = found[0].lstrip("0")
    return f"0{chr(0x30 + len(digits))}{digits}"
