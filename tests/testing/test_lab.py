"""The harness of the notebook tests can fail: what it is to notice, it notices."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser import NotebookPage, beside, find_chromium, hostile, launch_chromium
from tests.lab import Lab, LabError, descendants, running

CLICK = """\
import asyncio
import ipywidgets as widgets
state, label = ["shown"], widgets.Label("waiting")
button = widgets.Button(description="Apply")
async def work():
    state.append("started")
    await asyncio.sleep(0.05)
    state.append("ended")
    label.value = "finished"
def press(_):
    global task
    task = asyncio.create_task(work())
button.on_click(press)
widgets.VBox([button, label])"""


def show(*html: str) -> list[str]:
    """Return a cell per piece of HTML."""
    return [f"from IPython.display import HTML, display\ndisplay(HTML({h!r}))" for h in html]


def test_a_notebook_runs_and_python_is_asked_beside_it(lab: Lab, page: NotebookPage) -> None:
    lab.write("run.ipynb", ["x = 41\nprint('Чат 4')", "x += 1\nx", ""])
    page.open("run.ipynb").run_all()
    assert [text.strip() for text in page.outputs()] == ["Чат 4", "42", ""]
    page.execute("import asyncio\nawait asyncio.sleep(0)\nx += 1")
    assert page.evaluate("[x, {'none': None}]") == [43, {"none": None}]
    with pytest.raises(LabError, match="NameError: name 'y' is not defined"):
        page.evaluate("y")
    with pytest.raises(LabError, match="ZeroDivisionError"):
        page.execute("1 / 0")
    page.assert_harmless()
    assert page.errors == []


def test_a_restart_forgets_and_a_reload_does_not(lab: Lab, page: NotebookPage) -> None:
    lab.write("restart.ipynb", ["x = globals().get('x', 0) + 1\nx"])
    page.open("restart.ipynb").run_all()
    page.run_cell(0)
    assert page.outputs() == ["2"]
    page.save()
    page.reload()
    assert page.outputs() == ["2"]
    page.run_all()
    assert page.outputs() == ["3"]
    page.reload()  # though it asks about unsaved changes
    assert page.outputs() == ["2"]
    page.restart_and_run_all()
    assert page.outputs() == ["1"]
    assert page.dialogs == []
    page.restart()
    with pytest.raises(LabError, match="NameError"):
        page.evaluate("x")


def test_a_click_starts_a_task_that_changes_python_state(lab: Lab, page: NotebookPage) -> None:
    lab.write("click.ipynb", [CLICK])
    page.open("click.ipynb").run_all()
    assert page.evaluate("state") == ["shown"]
    page.page.get_by_role("button", name="Apply").click()
    page.wait_for_text("finished")
    assert page.evaluate("state") == ["shown", "started", "ended"]
    with pytest.raises(AssertionError, match=r"no output shows 'lost'(.|\n)*finished"):
        page.wait_for_text("lost", seconds=0.2)
    page.assert_harmless()


def test_html_that_executes_is_noticed(lab: Lab, page: NotebookPage) -> None:
    frame = "<iframe srcdoc='<script>window.__hacked = 1</script>'></iframe>"
    lab.write("hostile.ipynb", show(hostile("image"), frame))
    page.open("hostile.ipynb").run_all()
    assert sorted(page.hacked()) == ["1", "image"]
    with pytest.raises(AssertionError):
        page.assert_harmless()


def test_dialogs_and_calls_elsewhere_are_noticed_and_refused(lab: Lab, page: NotebookPage) -> None:
    address, socket = "http://192.0.2.1/a.png", "ws://192.0.2.1:8008/a"
    image = f"<img src='{address}' onload='window.__hacked = 1'>"
    script = f"<script>alert('boo'); new WebSocket('{socket}')</script>"
    lab.write("elsewhere.ipynb", show(image, script))
    page.open("elsewhere.ipynb").run_all()
    page.settle()
    assert page.dialogs == ["alert: boo"]
    assert set(page.left_loopback) == {address, socket}
    assert page.errors
    assert all("net::ERR_NAME_NOT_RESOLVED" in error for error in page.errors)
    assert page.hacked() == []


def test_formulas_are_noticed_and_mathjax_ignore_prevents_them(
    lab: Lab, page: NotebookPage
) -> None:
    lab.write("formula.ipynb", show("<p>$x^2$</p>", "<p class='mathjax_ignore'>$y^2$</p>"))
    page.open("formula.ipynb").run_all()
    assert len(page.typeset()) == 1
    assert page.outputs()[1] == "$y^2$"
    page.assert_harmless()


def test_light_and_dark_pictures_differ(lab: Lab, page: NotebookPage, tmp_path: Path) -> None:
    lab.write("themes.ipynb", ["1"])
    page.open("themes.ipynb").run_all()
    cell = page.cell(0)
    color = "getComputedStyle(document.querySelector('.jp-Cell')).color"
    light = page.screenshot(tmp_path / "light.png", "light", of=cell)
    light_color = page.page.evaluate(color)
    dark = page.screenshot(tmp_path / "dark.png", "dark", of=cell)
    assert light != dark
    assert light_color != page.page.evaluate(color)
    assert (tmp_path / "light.png").read_bytes() == light
    assert (tmp_path / "dark.png").read_bytes() == dark


def test_a_cell_that_raises_fails_the_run_and_is_quoted(lab: Lab, page: NotebookPage) -> None:
    lab.write("raises.ipynb", ["print('before')", "1 / 0", "print('after')"])
    page.open("raises.ipynb")
    with pytest.raises(AssertionError, match=r"before\n(.|\n)*ZeroDivisionError"):
        page.run_all()


def test_beside_a_page_asyncio_runs_in_a_thread_of_its_own(chromium: Browser) -> None:
    assert chromium.is_connected()
    assert beside(lambda: asyncio.run(asyncio.sleep(0, "done"))) == "done"


def test_a_lab_that_does_not_start_shows_its_log(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"ended with(.|\n)*Fatal Python error"):
        Lab.start(tmp_path, env={"PYTHONHOME": "/nowhere"})


@pytest.mark.usefixtures("chromium")
def test_no_process_outlives_its_block(tmp_path: Path) -> None:
    before = descendants()

    def live() -> list[Any]:
        executable = find_chromium()
        assert executable
        with Lab.start(tmp_path) as lab, launch_chromium(executable) as browser:
            lab.write("a.ipynb", ["1"])
            page = NotebookPage(browser, lab).open("a.ipynb")
            page.close(keep_kernel=True)
            return descendants(besides=before)

    started = beside(live)
    assert running(started) == []
    assert len(started) > 3
