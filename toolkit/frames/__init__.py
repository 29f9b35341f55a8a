"""Both sides, the plan and the history as pandas frames: fixed columns, order and dtypes.

`COLUMNS` says what every column holds, `LINK_COLUMNS` the same for a bot of shape links. A frame is a fresh
copy at each call; its texts are the raw ones, made harmless only where a frame shows itself. Nothing is decided here.
"""

from toolkit.frames.columns import COLUMNS, DECISIONS, LINK_COLUMNS, Field
from toolkit.frames.fleet import (
    FLEET_COLUMNS,
    bots_frame,
    causes_frame,
    count_codes,
    drift_columns,
    fleet_frame,
)
from toolkit.frames.frame import Column, Frame, Shelf
from toolkit.frames.history import history_frame
from toolkit.frames.plan import changes_frame, drift_frame, plan_frame
from toolkit.frames.shapes import rooms_frame, rows_frame

__all__ = [
    "COLUMNS",
    "DECISIONS",
    "FLEET_COLUMNS",
    "LINK_COLUMNS",
    "Column",
    "Field",
    "Frame",
    "Shelf",
    "bots_frame",
    "causes_frame",
    "changes_frame",
    "count_codes",
    "drift_columns",
    "drift_frame",
    "fleet_frame",
    "history_frame",
    "plan_frame",
    "rooms_frame",
    "rows_frame",
]
