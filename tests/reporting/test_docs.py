"""The documentation: it builds without a warning, needs no network, and names nothing that is not there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from cbec_bayes.bayes.model.family import panel_model_names
from cbec_bayes.commands.program import app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(path for path in DOCS.rglob("*.md") if path.parent.name != "made")]
)
WIDTHS = (400, 1280)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", DOCS, out],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (built.returncode, built.stderr) == (0, "")
    return out


@pytest.mark.slow
def test_the_site_has_every_page_and_no_broken_link(site):
    pages = {path.relative_to(site).as_posix(): path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    written = [path.relative_to(DOCS) for path in PAGES if path.is_relative_to(DOCS)]
    assert {path.with_suffix(".html").as_posix() for path in written} <= set(pages)
    for name, text in pages.items():
        for link in re.findall(r'\b(?:href|src)="([^"]+)"', text):
            target, _, anchor = re.sub(r"\?v=\w+", "", link).partition("#")
            if target.startswith("https://"):  # of the theme's author: a link, and nothing that is loaded
                continue
            there = ((site / name).parent / target).resolve() if target else site / name
            assert there.is_file(), (name, link)
            if anchor and there.suffix == ".html":
                assert f'id="{anchor}"' in there.read_text(encoding="utf-8"), (name, link)


@pytest.mark.slow
def test_the_site_loads_nothing_from_elsewhere(site):
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r'<(?:script|img|iframe|link)\b[^>]*(?:src|href)="(?:https?:)?//', text), path.name
    for path in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(?:https?:)?//|@import", path.read_text(encoding="utf-8")), path.name


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_fits_its_window(site, browser, width):
    opened = browser.new_page(viewport={"width": width, "height": 900})
    for name in ("index", "outputs", "your-panel", "cookbook", "cookbook/few-clusters", "comparison", "api"):
        opened.goto((site / f"{name}.html").as_uri())
        assert opened.evaluate("document.documentElement.scrollWidth") <= width, name
    opened.close()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_of_the_repository_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_commands_and_options_that_are_named_are_there(path):
    group = typer.main.get_command(app)
    known = {
        name: {flag for one in command.params for flag in (*one.opts, *one.secondary_opts)}
        for name, command in group.commands.items()
    }
    whole = {"--help", "--version", "--debug", "--install-completion"}  # of the program, before a command
    every = set().union(*known.values()) | whole
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in re.findall(r"(?<!install )cbec-bayes ([^\n`#]+)", text):
        command, *rest = line.split()
        if command == "COMMAND" or command in whole:
            continue
        assert command in known, line
        assert {word.partition("=")[0] for word in rest if word.startswith("--")} <= known[command] | {"--help"}, line
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) <= every


def test_members_that_are_named_are_there():
    table = (DOCS / "choosing.md").read_text(encoding="utf-8").partition("\n## ")[0]
    named = {
        name
        for line in table.splitlines()
        if line.startswith("| ")
        for name in re.findall(r"`([a-z0-9_]+)`", line.split("|")[2])
    }
    assert len(named) > 6
    assert named <= set(panel_model_names())


def test_readme_fits_a_screen_or_two():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 80
