"""The command line as a process: pipes, encodings, and a demo that cleans up."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.bench import Bench
from tests.children import finding_us
from tests.cli.command import ROOT
from toolkit.records import room_key
from toolkit.testing import Synapse


def start(*arguments: str, **options: Any) -> "subprocess.Popen[str]":
    code = "from toolkit.cli import main; main()"
    command = [sys.executable, "-c", code, *arguments]
    pipe = subprocess.PIPE
    environment = os.environ | finding_us() | options.pop("env", {})
    streams = {"stdout": pipe, "stderr": pipe} | options
    return subprocess.Popen(command, text=True, env=environment, **streams)


@pytest.mark.parametrize("arguments", [("--help",), ("apply", "--help"), ("check", "-h")])
def test_help_loads_nothing_heavy(arguments: tuple[str, ...]) -> None:
    heavy = "{'pandas', 'nio', 'ipywidgets', 'aiohttp', 'rich', 'aiosqlite', 'msgspec', 'asyncio'}"
    code = (
        "import sys; from toolkit.cli import run; "
        f"assert run({arguments!r}) == 0; print('loaded', sorted({heavy} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "loaded []"


@pytest.mark.usefixtures("environment")
def test_a_pipe_gets_no_colours_and_its_end_no_complaint(tmp_path: Path) -> None:
    with start("check", cwd=tmp_path, env={"FORCE_COLOR": "1"}) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (2, "")
    assert "\x1b" not in out


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("check", 2),
        ("check --json", 2),
        ("plan --out decisions.json", 2),
        ("history", 0),
        ("explain", 0),
        ("--help", 0),
        ("", 0),
        ("check --table other", 1),
        ("apply !a1 --json", 0),
    ],
)
def test_a_reader_who_leaves_changes_neither_the_work_nor_the_exit_code(
    tmp_path: Path, bench: Bench, words: str, code: int
) -> None:
    with start(*words.split(), cwd=tmp_path) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        told = process.stderr.read()
        assert process.wait(60) == code
    assert not {"Traceback", "Broken", "pipe"} & set(told.split())
    assert (tmp_path / "decisions.json").exists() is words.startswith("plan")
    assert (bench.row(room_key("!a1")) is not None) is words.startswith("apply")


@pytest.mark.usefixtures("environment")
def test_a_reader_of_words_and_results_may_leave_as_well(tmp_path: Path) -> None:
    with start("plan", "--out", "d.json", cwd=tmp_path, stderr=subprocess.STDOUT) as process:
        assert process.stdout
        process.stdout.close()
        assert process.wait(60) == 2


@pytest.mark.usefixtures("environment")
def test_an_old_encoding_is_no_error(tmp_path: Path) -> None:
    with start("plan", cwd=tmp_path, env={"PYTHONIOENCODING": "ascii"}) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (2, "")
    assert "\\u041e\\u0442\\u043f\\u0443\\u0441\\u043a" in out


# demo


@pytest.mark.synapse
@pytest.mark.slow
def test_the_demo_shows_drift_and_leaves_nothing(tmp_path: Path) -> None:
    if not Synapse.available():
        pytest.skip("matrix-synapse is not installed")
    with start("demo", "--check", env={"TMPDIR": str(tmp_path)}) as process:
        out, err = process.communicate(timeout=170)
    assert process.returncode == 2, err
    assert "Chats:      1 in sync, 4 missing, 4 mismatched, 4 conflict" in out
    assert not set(out + err) & set("\x1b\u202e\u200b")
    assert os.listdir(tmp_path) == []
    assert synapses(tmp_path) == []


@pytest.mark.synapse
@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_cleans_up_when_it_is_ended(tmp_path: Path, ending: signal.Signals) -> None:
    if not Synapse.available():
        pytest.skip("matrix-synapse is not installed")
    with start("demo", env={"TMPDIR": str(tmp_path)}) as process:
        assert process.stderr
        for line in process.stderr:
            if line.startswith("Making"):
                break
        time.sleep(0.5)
        process.send_signal(ending)
        process.send_signal(ending)  # impatience changes nothing
        assert "Cancelled; the demo's Synapse and its files are gone." in process.stderr.read()
        assert process.wait(30) == 1
    assert os.listdir(tmp_path) == []
    assert synapses(tmp_path) == []


def synapses(directory: Path) -> list[str]:
    """Command lines of processes whose files lie in this folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(directory) in line:
            found.append(line)
    return found
