"""A person at JupyterLab: a notebook open in a real Chromium, driven by Playwright.

Playwright's event loop counts as running in the thread that started it. So in a module with
pages every test is a plain function, and what calls `asyncio.run` goes through `beside`.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeVar
from urllib.parse import quote

from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Dialog,
    Locator,
    Page,
    Request,
    TimeoutError,
    sync_playwright,
)

from tests.lab import Kernel, Lab

T = TypeVar("T")
Theme = Literal["light", "dark"]

SECONDS = 60.0
_POLL = 0.1
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_LOOPBACK = re.compile(r"^(https?|wss?)://127\.0\.0\.1[:/]|^(data|blob|about):")
# Chromium looks addresses up by the same rules, and those of WebSockets, so nothing leaves.
# A route of Playwright's would do less, and turn the cache off.
_NOWHERE = "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"
_VIEWPORT: Any = {"width": 1280, "height": 900}
_THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}

# Who sets window.__hacked, in whichever frame, is reported at once and survives a reload.
_CANARY = """Object.defineProperty(window, '__hacked', {
  set(what) { window.__canary(String(what)); }, configurable: false,
});"""
_NOTEBOOK = "const panel = window.jupyterapp.shell.currentWidget;"
_CLOSE_ALL = """() => {
  const {shell} = window.jupyterapp;
  for (const opened of [...shell.widgets('main')]) {
    if (opened.context?.model) opened.context.model.dirty = false;
    opened.dispose();
  }
  shell.expandLeft();
}"""
_TOOLBAR_IDLE = """() => {
  const panel = window.jupyterapp?.shell.currentWidget;
  const toolbar = panel?.node.querySelector('.jp-Notebook-ExecutionIndicator');
  return toolbar?.dataset.status === 'idle' && panel.sessionContext.session?.kernel?.status === 'idle';
}"""
_START = """([command, args]) => {
  window.__done = null;
  window.jupyterapp.commands.execute(command, args).then(
    value => { window.__done = {value: value === undefined ? null : Boolean(value)}; },
    error => { window.__done = {error: String(error)}; });
}"""
_DONE = "() => window.__done"
_PAINTED = """() => [...document.images].every(image => image.complete) && new Promise(
  done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"""
# MathJax is loaded by the first formula and works in order: where ours is set, earlier ones are.
_TYPESET_CONTROL = f"""() => {{
  {_NOTEBOOK}
  document.querySelector('#typeset-control')?.remove();
  const node = document.createElement('div');
  node.id = 'typeset-control';
  node.hidden = true;
  node.textContent = '$z$';
  document.body.append(node);
  panel.content.rendermime.latexTypesetter.typeset(node);
}}"""
_CELLS_RUN = f"""() => {{
  {_NOTEBOOK}
  const cells = panel.content.widgets.map(cell => cell.model).filter(
    model => model.type === 'code' && model.sharedModel.getSource().trim());
  return cells.every(model => model.executionCount !== null);
}}"""


def find_chromium() -> str | None:
    """Return the path of this system's Chromium, None where it has none."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


@contextmanager
def launch_chromium(executable: str) -> Iterator[Browser]:
    """Run a headless Chromium that reaches loopback only."""
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable,
            headless=True,
            args=[*root, "--disable-dev-shm-usage", _NOWHERE],
        )
        try:
            yield browser
        finally:
            browser.close()


class Windows:
    """Browser windows for one test after the other, each of which loads JupyterLab only once."""

    def __init__(self) -> None:
        self._idle: list[NotebookPage] = []

    def take(self, browser: Browser, lab: Lab) -> NotebookPage:
        """Lend a window that shows this Lab."""
        for window in self._idle:
            if window.lab is lab:
                self._idle.remove(window)
                return window
        return NotebookPage(browser, lab)

    def give_back(self, window: NotebookPage) -> None:
        """Take the window back from a test that is content with it."""
        window.clear()
        self._idle.append(window)


def beside(action: Callable[[], T]) -> T:
    """Do something in a thread of its own, where `asyncio.run` is allowed.

    Start no Synapse there: it dies with its thread.
    """
    with ThreadPoolExecutor(1) as executor:
        return executor.submit(action).result()


def hostile(where: str) -> str:
    """Return HTML that, if anything executes it, is found in `NotebookPage.hacked`."""
    return f"""<img src=x onerror="window.__hacked='{where}'">"""


class NotebookPage:
    """One notebook in one browser window; `page` is Playwright's, for mouse and keys."""

    def __init__(self, browser: Browser, lab: Lab) -> None:
        self.lab = lab
        self.notebook = ""
        self._cleared = False
        self.left_loopback: list[str] = []
        self.errors: list[str] = []
        self.dialogs: list[str] = []
        self._hacked: list[str] = []
        self._pending: set[Request] = set()
        self._context = browser.new_context(viewport=_VIEWPORT, service_workers="block")
        self._context.set_default_timeout(SECONDS * 1000)
        self._context.expose_function("__canary", lambda what: self._hacked.append(what))
        self._context.add_init_script(_CANARY)
        self._context.on("request", self._note_request)
        self._context.on("requestfinished", self._note_end)
        self._context.on("requestfailed", self._note_end)
        self.page: Page = self._context.new_page()
        self.page.on("websocket", lambda socket: self._note_url(socket.url))
        self.page.on("console", self._note_console)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", self._note_dialog)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self, *, keep_kernel: bool = False) -> None:
        """Close the window and, as no tab's cross does, shut the kernel down."""
        self._context.close()
        if not keep_kernel:
            self.lab.end_session(self.notebook)

    def clear(self) -> None:
        """Be as new, without loading JupyterLab again: nothing open, nothing of the last notebook left."""
        self._cleared = self.page.url.startswith(f"{self.lab.url}/lab")
        if self._cleared:
            self.page.evaluate(_CLOSE_ALL)
            self.page.set_viewport_size(_VIEWPORT)
            if self.page.locator(f"body[data-jp-theme-name='{_THEMES['dark']}']").count():
                self.set_theme("light")
                self.settle()
        else:
            self.page.goto("about:blank")
        self.lab.spare_kernel(self.notebook)
        self.notebook = ""
        for noted in (self.left_loopback, self.errors, self.dialogs, self._hacked):
            noted.clear()

    # -- the notebook

    def open(self, notebook: str) -> Self:
        """Open a notebook below the Lab's root and wait until its kernel is ready."""
        self.notebook = notebook
        self.lab.use_spare_kernel(notebook)
        if self._cleared:
            self._cleared = False
            self.command("docmanager:open", path=notebook)
            self.await_kernel()
        else:
            self.reload()
        return self

    def reload(self) -> None:
        """Load the page again, as F5 does: what was not saved is gone, the kernel stays."""
        path = f"/lab/tree/{quote(self.notebook)}"
        self.page.goto(f"{self.lab.url}{path}?reset&token={self.lab.token}")
        self.await_kernel()

    def run_all(self, *, seconds: float = SECONDS) -> None:
        """Run all cells as the menu does; fail with the outputs if one raises."""
        self.start_all()
        self.finish_all(seconds=seconds)

    def start_all(self) -> None:
        """Start running all cells and return at once, so that a test can act meanwhile."""
        self._start("notebook:run-all-cells")

    def finish_all(self, *, seconds: float = SECONDS) -> None:
        """Wait for what `start_all` started."""
        self._finish("running all cells", seconds)
        self._wait(_CELLS_RUN, "not every cell was run")
        self.await_kernel()

    def run_cell(self, index: int) -> None:
        """Run one cell again, the first is 0."""
        self.page.evaluate(
            f"index => {{ {_NOTEBOOK} panel.content.activeCellIndex = index; }}", index
        )
        self.command("notebook:run-cell")
        self.await_kernel()

    def restart_and_run_all(self) -> None:
        """Press what restarts the kernel and runs all cells, and agree to the question."""
        self._start("notebook:restart-run-all")
        self._agree_to_restart()
        self.finish_all()

    def restart(self) -> None:
        """Restart the kernel and run nothing."""
        self._start("notebook:restart-kernel")
        self._agree_to_restart()
        self._finish("notebook:restart-kernel")
        self.await_kernel()

    def save(self) -> None:
        """Save the notebook to its file."""
        self.command("docmanager:save")

    def command(self, name: str, **args: object) -> None:
        """Execute one of JupyterLab's commands and wait for its end."""
        self._start(name, **args)
        self._finish(name)

    # -- what Python and the person see

    @property
    def kernel(self) -> Kernel:
        """The notebook's kernel."""
        return self.lab.kernel(self.notebook)

    def evaluate(self, expression: str) -> Any:
        """Return a value, which must be JSON, out of the notebook's namespace."""
        return self.kernel.evaluate(expression)

    def execute(self, code: str) -> None:
        """Run code in the notebook's namespace, beside its cells; `await` works."""
        self.kernel.execute(code)

    def cell(self, index: int) -> Locator:
        """Return a cell, the first is 0."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index)

    def outputs(self) -> list[str]:
        """Return what a person reads below each code cell, "" where there is nothing."""
        cells = self.page.locator(".jp-Notebook .jp-CodeCell").all()
        return ["\n".join(_output_of(cell).all_inner_texts()) for cell in cells]

    def wait_for_text(self, text: str | re.Pattern[str], *, seconds: float = SECONDS) -> None:
        """Wait until a cell's output shows the text; "idle" says nothing of background tasks."""
        output = _output_of(self.page).filter(has_text=text).first
        try:
            output.wait_for(timeout=seconds * 1000)
        except TimeoutError as error:
            raise AssertionError(self._report(f"no output shows {text!r}")) from error

    def screenshot(self, path: Path, theme: Theme = "light", *, of: Locator | None = None) -> bytes:
        """Take a picture of the window, or of one thing in it, in a theme that then stays."""
        self.set_theme(theme)
        target: Page | Locator = of or self.page
        return target.screenshot(path=path, animations="disabled")

    def set_theme(self, theme: Theme) -> None:
        """Switch JupyterLab to its light or dark theme."""
        name = _THEMES[theme]
        self.command("apputils:change-theme", theme=name)
        self.page.locator(f"body[data-jp-theme-name='{name}']").wait_for(state="attached")

    # -- what went wrong

    def hacked(self) -> list[str]:
        """Return what set `window.__hacked` so far, in any frame."""
        self.settle()
        return list(self._hacked)

    def typeset(self) -> list[str]:
        """Return what MathJax made of the outputs, once it has done all it was asked before."""
        self.settle()
        self.page.evaluate(_TYPESET_CONTROL)
        self.page.locator("#typeset-control mjx-container").wait_for(state="attached")
        return _output_of(self.page).locator("mjx-container").all_inner_texts()

    def settle(self) -> None:
        """Let the browser do what it has begun: images fail, handlers run, two frames pass."""
        self._poll(lambda: not self._pending, "requests did not end")
        self.page.wait_for_function(_PAINTED)

    def assert_harmless(self) -> None:
        """Fail if anything executed, opened a dialog or called elsewhere."""
        assert self.hacked() == []
        assert self.dialogs == []
        assert self.left_loopback == []

    # -- inside

    def _start(self, command: str, **args: object) -> None:
        self.page.evaluate(_START, [command, args])

    def _finish(self, command: str, seconds: float = SECONDS) -> None:
        done = self._wait(_DONE, f"{command} did not end", seconds)
        if "error" in done or done["value"] is False:
            raise AssertionError(self._report(f"{command} failed: {done}"))

    def _agree_to_restart(self) -> None:
        self.page.locator(".jp-Dialog .jp-mod-accept").click()

    def await_kernel(self) -> None:
        """Wait until server and toolbar agree: the toolbar alone says "idle" before there is a kernel."""
        self._poll(self._ready, "the kernel was not ready")

    def _ready(self) -> bool:
        if not self.page.evaluate(_TOOLBAR_IDLE):
            return False
        kernel = (self.lab.session(self.notebook) or {}).get("kernel") or {}
        return kernel.get("connections", 0) >= 1 and kernel.get("execution_state") == "idle"

    def _poll(self, condition: Callable[[], bool], complaint: str) -> None:
        for _ in range(int(SECONDS / _POLL)):
            self.page.wait_for_timeout(_POLL * 1000)  # a sleep during which events are served
            if condition():
                return
        raise AssertionError(self._report(complaint))

    def _wait(self, condition: str, complaint: str, seconds: float = SECONDS) -> Any:
        try:
            return self.page.wait_for_function(condition, timeout=seconds * 1000).json_value()
        except TimeoutError as error:
            raise AssertionError(self._report(complaint)) from error

    def _report(self, what: str) -> str:
        return "\n".join([f"{self.notebook}: {what}", *self.outputs(), *self.errors])

    def _note_request(self, request: Request) -> None:
        self._note_url(request.url)
        self._pending.add(request)

    def _note_end(self, request: Request) -> None:
        self._pending.discard(request)

    def _note_url(self, url: str) -> None:
        if not _LOOPBACK.match(url):
            self.left_loopback.append(url)

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def _note_dialog(self, dialog: Dialog) -> None:
        if dialog.type == "beforeunload":  # JupyterLab's own, about unsaved changes
            dialog.accept()
        else:
            self.dialogs.append(f"{dialog.type}: {dialog.message}")
            dialog.dismiss()


def _output_of(cell: Locator | Page) -> Locator:
    return cell.locator(".jp-OutputArea-output")
