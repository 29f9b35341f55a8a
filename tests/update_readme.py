"""Puts fresh output of the product into README.md: `python tests/update_readme.py [demo] [benchmark]`."""

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"
COMMANDS = {
    "demo": [sys.executable, "-c", "from toolkit.cli import main; main()", "demo", "--check"],
    "benchmark": [sys.executable, "-m", "toolkit.benchmark"],
}


def main() -> None:
    """Run what is asked for, all if nothing is, and replace the blocks between the markers."""
    text = README.read_text(encoding="utf-8")
    for name in sys.argv[1:] or COMMANDS:
        run = subprocess.run(
            COMMANDS[name],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "COLUMNS": "100"},
        )
        block = f"<!-- {name} -->\n```text\n{run.stdout.strip()}\n```\n<!-- /{name} -->"
        [before, after] = re.split(rf"<!-- {name} -->.*?<!-- /{name} -->", text, flags=re.DOTALL)
        text = before + block + after
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
