"""What every Python that the tests start finds: tests/lean, and the working copy where it is asked for."""

import os
from pathlib import Path

ROOT = Path(__file__).parent.parent
_LEAN = str(ROOT / "tests" / "lean")


def start_lean() -> None:
    """Let children leave out what tests/lean says."""
    if _LEAN not in os.environ.get("PYTHONPATH", ""):
        os.environ["PYTHONPATH"] = _with(_LEAN)


def finding_us() -> dict[str, str]:
    """The environment's part for a child that imports the package and these tests from elsewhere."""
    return {"PYTHONPATH": _with(str(ROOT))}


def _with(folder: str) -> str:
    return os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
