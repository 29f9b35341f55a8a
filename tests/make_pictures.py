"""Makes the README's pictures: `python -m tests.make_pictures`, from the lessons in a real JupyterLab.

The world is the recorded one, so the pictures change only with the product.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path

from tests.browser import NotebookPage, find_chromium, launch_chromium
from tests.lab import Lab

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
PICTURES = NOTEBOOKS / "pictures"


def make() -> None:
    """Run three lessons, and take pictures of one repair in the review table, of a shadow run, and of links."""
    executable = find_chromium()
    if executable is None:
        sys.exit("There is no Chromium here: apt-get install chromium")
    with tempfile.TemporaryDirectory() as files:
        root = Path(files) / "lessons"
        shutil.copytree(NOTEBOOKS, root, ignore=shutil.ignore_patterns("pictures", ".*"))
        with (
            launch_chromium(executable) as browser,
            Lab.start(Path(files) / "lab", root=root) as lab,
            NotebookPage(browser, lab) as page,
        ):
            page.page.set_viewport_size({"width": 1400, "height": 1300})  # the table at once
            page.open("2-approve-and-apply.ipynb").run_all()
            review = page.page.locator(".md-board")
            review.get_by_role("button", name=re.compile("^Settle C2 of")).first.click()
            review.locator(".md-choices").wait_for()
            page.screenshot(PICTURES / "review.png", of=review)
            review.get_by_role("button", name=re.compile("^chat id C9")).first.click()
            review.locator(".md-rowtable").first.wait_for()
            review.get_by_role("button", name=re.compile("^Approve with chat id")).click()
            review.get_by_role("button", name=re.compile("^Apply 1")).wait_for()
            page.screenshot(PICTURES / "review-approved.png", of=review)
            review.get_by_role("button", name=re.compile("^Apply 1")).click()
            page.wait_for_text(re.compile("Written: \\d row"))
            page.screenshot(PICTURES / "review-applied.png", of=review)
            page.open("5-run-your-own-code-in-its-shadow.ipynb").run_all()
            shown = page.page.locator(".jp-Cell", has_text="hasty = await shadow_run")
            page.screenshot(PICTURES / "shadow-run.png", of=shown.last)
            page.open("6-any-bots-rows.ipynb").run_all()
            desk = page.page.locator(".md-board")
            desk.get_by_role("button", name=re.compile("^Settle .* 15 .!erik-again")).click()
            desk.locator(".md-sides").wait_for()
            page.screenshot(PICTURES / "review-links.png", of=desk)


if __name__ == "__main__":
    make()
