"""What a session's frame says of decisions."""

from tests.bench import BOB
from toolkit import Session


def votes(session: Session) -> dict[str, str]:
    frame = session.plan.to_frame()
    return dict(zip(frame.index, frame["decision"], strict=True))


PENDING = {"!a1": "pending", "!a2": "pending", BOB: "pending"}
