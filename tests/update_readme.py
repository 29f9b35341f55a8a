"""Puts fresh output of the product into the docs: `python -m tests.update_readme`, with names of `PAGES` or for all."""

import os
import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parent.parent / "toolkit" / "docs"
PAGES = {
    "demo": DOCS / "demo.md",
    "benchmark": DOCS / "costs.md",
    "watch": DOCS.parent.parent / "README.md",
    "watching": DOCS / "watch.md",
}
COMMANDS = {
    "demo": [sys.executable, "-c", "from toolkit.cli import main; main()", "demo", "--check"],
    "benchmark": [sys.executable, "-m", "toolkit.benchmark"],
    "watch": [sys.executable, "-m", "tests.watch_screen"],
    "watching": [sys.executable, "-m", "toolkit.benchmark.watch"],
}


def main() -> None:
    """Run what is asked for, all if nothing is, and replace the block between the markers of its page."""
    for name in sys.argv[1:] or COMMANDS:
        run = subprocess.run(
            COMMANDS[name],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "COLUMNS": "100"},
        )
        text = PAGES[name].read_text(encoding="utf-8")
        block = f"<!-- {name} -->\n```text\n{run.stdout.strip()}\n```\n<!-- /{name} -->"
        [before, after] = re.split(rf"<!-- {name} -->.*?<!-- /{name} -->", text, flags=re.DOTALL)
        PAGES[name].write_text(before + block + after, encoding="utf-8")


if __name__ == "__main__":
    main()
