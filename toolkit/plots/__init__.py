"""The picture behind `session.plot()`: every user's Space with its chats, and what went wrong in how many of them.

Figures are made without pyplot: nothing is left open, and a notebook shows each of them once. Names come
from strangers; they are drawn as plain text, never as maths, and only with glyphs that the font has.
"""

from toolkit.plots.caption import describe
from toolkit.plots.drawing import draw_map
from toolkit.plots.fleet import BotLine, draw_fleet
from toolkit.plots.marks import INKS, NOBODY, ChatMark, Ink, UserLine, user_lines
from toolkit.plots.picture import Picture

__all__ = [
    "INKS",
    "NOBODY",
    "BotLine",
    "ChatMark",
    "Ink",
    "Picture",
    "UserLine",
    "describe",
    "draw_fleet",
    "draw_map",
    "user_lines",
]
