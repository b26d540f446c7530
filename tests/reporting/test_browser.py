"""The committed page in a real browser; skipped where the machine has no Chromium, which no Python package brings."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

pytestmark = pytest.mark.nightly

REPORTS = Path(__file__).parents[2] / "reports"
PAGE = REPORTS / "reanalysis.html"
WIDTHS = (400, 1280)
SMALLEST = 6.5
"""Pixels that the smallest text of a figure, labels of tiles, has at least on a telephone."""


@pytest.fixture
def heard():
    return {"console": [], "requests": []}


def open_page(browser, heard, width: int, scheme: str = "light", page: Path = PAGE):
    opened = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    opened.on("console", lambda message: heard["console"].append(message.text))
    opened.on("pageerror", lambda error: heard["console"].append(str(error)))
    opened.on("request", lambda request: heard["requests"].append(request.url))
    opened.goto(page.as_uri())
    for fold in opened.query_selector_all("details:not([open]) > summary"):
        fold.click()
    return opened


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_is_silent_offline_and_whole(browser, heard, width):
    page = open_page(browser, heard, width)
    assert heard == {"console": [], "requests": [PAGE.as_uri()]}
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    figures = page.evaluate(
        """[...document.querySelectorAll('figure svg')].map(
            s => [s.getBoundingClientRect().width, s.querySelectorAll('path, use, text').length])"""
    )
    assert len(figures) == len(list((REPORTS / "figures").glob("*.svg")))
    assert all(wide > 300 and marks > 5 for wide, marks in figures)
    page.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_lies_outside_what_scrolls(browser, heard, width):
    """Tables may be wider than a telephone, inside a region that scrolls and that the keyboard reaches."""
    page = open_page(browser, heard, width)
    outside = page.evaluate(
        """width => [...document.querySelectorAll('body *')].filter(
            e => !e.closest('.scroll, svg, pre') && e.getBoundingClientRect().right > width + 0.5
        ).map(e => e.tagName + ' ' + e.className)""",
        width,
    )
    assert outside == []
    assert page.evaluate("[...document.querySelectorAll('.scroll')].every(e => e.tabIndex === 0)")
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_schemes(browser, heard, scheme):
    """WCAG's contrast of 4.5 for text, of the colours that the browser computes."""
    page = open_page(browser, heard, 1280, scheme)
    pairs = page.evaluate(
        """() => [...document.querySelectorAll('p, li, th, td, a, h1, h2, figcaption, summary, text')].map(e => {
            const none = 'rgba(0, 0, 0, 0)';
            let [b, back] = [e, none];
            for (; b && back === none; b = b.parentElement) back = getComputedStyle(b).backgroundColor;
            const style = getComputedStyle(e);
            return [e.closest('svg') ? style.fill : style.color, back, e.textContent.trim().slice(0, 30)];
        })"""
    )
    assert len(pairs) > 500
    poor = {(ink, back) for ink, back, text in pairs if text and contrast(ink, back) < 4.5}
    assert poor == set()
    page.close()


def contrast(ink: str, back: str) -> float:
    """Return the ratio of relative luminances (WCAG 2)."""

    def luminance(colour: str) -> float:
        parts = [float(part) / 255 for part in re.findall(r"[\d.]+", colour)[:3]]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(ink), luminance(back)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_headings_nest_and_links_land(browser, heard):
    page = open_page(browser, heard, 1280)
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map(e => Number(e.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.evaluate(
        "[...document.querySelectorAll('a[href^=\"#\"]')].every(a => document.getElementById(a.hash.slice(1)))"
    )
    named = page.evaluate("[...document.querySelectorAll('svg')].map(s => s.getAttribute('aria-label') || '')")
    assert all(len(name) > 20 for name in named)
    page.close()


def test_letters_of_figures_are_large_enough_on_a_telephone(browser, heard):
    page = open_page(browser, heard, 400)
    sizes = page.evaluate(
        """[...document.querySelectorAll('figure svg')].map(s => {
            const scale = s.getBoundingClientRect().width / s.viewBox.baseVal.width;
            const texts = [...s.querySelectorAll('text')].map(t => parseFloat(getComputedStyle(t).fontSize) * scale);
            return [s.getAttribute('aria-label').slice(0, 40), Math.min(...texts)];
        })"""
    )
    assert {name: size for name, size in sizes if size < SMALLEST} == {}
    page.close()


def test_the_page_prints(browser, heard):
    page = open_page(browser, heard, 1280)
    printed = page.pdf(format="A4")
    assert printed.startswith(b"%PDF")
    assert 5 < len(re.findall(rb"/Type\s*/Page\b", printed)) < 80
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    page.close()
