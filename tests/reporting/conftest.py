from __future__ import annotations

import os
import shutil

import pytest
from playwright.sync_api import sync_playwright

from cbec_bayes.reporting import checkfigures, figures


def chromium() -> str | None:
    """Return the browser of this machine."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    return os.environ.get("CHROMIUM") or next((found for name in names if (found := shutil.which(name))), None)


@pytest.fixture(scope="module")
def browser():
    """Open the machine's Chromium, which no Python package brings; skip where there is none."""
    program = chromium()
    if program is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are drawn, in the place of their drawings."""
    kept = []
    for module in (figures, checkfigures):
        monkeypatch.setattr(module, "Drawing", lambda figure, *_: kept.append(figure))
    return kept
