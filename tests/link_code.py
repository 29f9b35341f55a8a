"""Evidence as a bot's own code tells it: a pure function of a room's raw state."""

from typing import Any

nothing = None


def claim(events: list[dict[str, Any]]) -> Any:
    """What the bot's topic says after a colon; a part for each line."""
    for event in events:
        if event["type"] == "m.room.topic" and event["sender"] == "@bot:hs":
            told = event["content"].get("topic", "").partition(":")[2].split("\n")
            return told[0] if len(told) == 1 else tuple(told)
    return None


def claim_badly(events: list[dict[str, Any]]) -> Any:
    raise KeyError("a secret")
