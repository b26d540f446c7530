"""The report of a fit's folder: whole, offline, of any column names, and what it says is what the tables say."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import numpy as np
import openpyxl
import pandas as pd
import pytest
from docx import Document

from cbec_bayes.checks import CheckResult, Severity
from cbec_bayes.jobs.difference_sentences import difference_sentences
from cbec_bayes.reporting.panelpage import FILE
from cbec_bayes.reporting.panelwords import _checks_sentence
from cbec_bayes.reporting.tables import sampled
from cbec_bayes.reporting.templating import true_minus
from tests.support.called import status_of as program
from tests.support.pages import COMPARED, Reader


def panel_file(path, n_groups: int, n_units: int, seed: int = 1):
    rng = np.random.default_rng(seed)
    n_times = 5
    unit, time = np.divmod(np.arange(n_units * n_times), n_times)
    x = rng.normal(size=len(unit)) + rng.normal(size=n_units)[unit]
    slopes = 0.5 + 0.3 * rng.normal(size=max(n_groups, 1))
    y = slopes[unit % max(n_groups, 1)] * x + rng.normal(size=n_units)[unit] + 0.5 * rng.normal(size=len(unit))
    frame = pd.DataFrame({"y & <b>": y, "x": x, "city": [f"c{u}" for u in unit], "year": 2000 + time})
    frame["region"] = [f"<script>r{u % n_groups}" if n_groups else "" for u in unit]
    frame.to_csv(path, index=False)
    return path


def fitted(folder, n_groups: int, n_units: int, *more: str):
    data = panel_file(folder / "panel.csv", n_groups, n_units)
    asked = ["--outcome", "y & <b>", "--exposure", "x", "--unit", "city", "--time", "year"]
    asked += ["--group", "region"] if n_groups else []
    assert program("fit", "--data", data, *asked, *more, "--out", folder / "fit", "-q") == 0
    return folder / "fit"


@pytest.fixture(scope="module", autouse=True)
def few_members():
    """Compare three members by what they predict; tests/checks compares all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(COMPARED, lambda: ("partial_pooling", "complete_pooling", "no_pooling"))
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = fitted(tmp_path_factory.mktemp("own"), 3, 15)
    asked = ["--figures", "png,pdf", "--tables", "xlsx,docx", "--label", "x=dose"]
    assert program("report", folder, "--workers", 1, *asked, "-q") == 0
    reader = Reader()
    reader.feed((folder / FILE).read_text(encoding="utf-8"))
    reader.close()
    return folder, reader


@pytest.mark.slow
def test_the_page_is_whole_offline_and_escaped(made):
    folder, reader = made
    page = (folder / FILE).read_text(encoding="utf-8")
    assert reader.open == []
    assert len(reader.ids) == len(set(reader.ids))
    assert set(reader.labels) <= set(reader.ids)
    assert not re.search(r"<(script|link|img|iframe|b)\b|@import|url\((?!#)", page)
    assert "&lt;script&gt;r0" in page
    for link in reader.links:
        assert link.startswith("#")
        assert link[1:] in reader.ids


@pytest.mark.slow
def test_it_says_what_the_tables_say(made):
    folder, reader = made
    text = " ".join(" ".join(reader.text).replace("\u00a0", " ").split())
    said = json.loads((folder / "diagnostics.json").read_text(encoding="utf-8"))["neighbours"]
    assert len(said) == 1
    assert text.index(true_minus(said[0])) < text.index(
        "Among the 3 groups the largest slope"
    )  # the average and its neighbours come first
    assert "without trends of units" in text
    effects = pd.read_csv(folder / "effects.csv").dropna(subset=["mean"])
    for row in effects.to_dict("records"):
        assert all(part in text for part in sampled(row["mean"], row["ci_low"], row["ci_high"], row["mcse"]))
    checks = pd.read_csv(folder / "checks.csv")
    for row in checks.to_dict("records"):
        assert " ".join(true_minus(row["text"].replace("'x'", "dose")).split()) in text
    first = min(checks["severity"], key=lambda one: Severity(one).rank)
    shown = text[text.index("Can it be trusted?") :]
    assert first in shown
    assert shown.index(str(first)) == min(shown.index(str(one)) for one in set(checks["severity"]))
    assert "not causal" in text
    assert {"compare.csv", "checks.csv", "effects.csv", "fit.json"} <= {path.name for path in folder.iterdir()}
    assert (folder / "figures" / "forest.svg").is_file()
    assert (folder / "tables" / "compare.tex").is_file()


@pytest.mark.slow
def test_whether_slopes_differ_is_said_as_its_table_has_it(made):
    folder, reader = made
    text = " ".join(" ".join(reader.text).replace("\u00a0", " ").split())
    table = pd.read_csv(folder / "differences.csv")
    texts = ["controls", "group", "minus", "note", "vcov"]
    table[texts] = table[texts].astype(object).where(table[texts].notna(), "")
    sentences = difference_sentences(table, "dose", "robust")
    assert len(sentences) >= 3
    assert text.count(" ".join(sentences)) == 1
    assert {"differences", "table-differences", "table-difference_pairs"} <= set(reader.ids)


@pytest.mark.slow
def test_title_and_answer_have_the_words_of_the_panel(made):
    folder, reader = made
    text = " ".join(" ".join(reader.text).replace("\u00a0", " ").split())
    assert "How does y & <b> move with dose?" in text
    assert "And how far does that differ between the 3 groups of region?" in text
    assert "When dose rises by one, y & <b> moves by" in text
    assert "Standard errors of the regressions are clustered by city (15 clusters)" in text
    assert "dose is the column x" in text
    table = (
        (folder / FILE).read_text(encoding="utf-8").partition('<table id="table-effects"')[2].partition("</table>")[0]
    )
    rows = re.findall(r'<th scope="row">(.*?)</th>', table)
    assert rows[1:-2] == [f"&lt;script&gt;r{k}" for k in range(3)]


@pytest.mark.slow
def test_numbers_of_the_first_case_are_on_no_other_page(made):
    """The page of a panel has no Table 3 and no Table 4, neither in its words nor in its figures."""
    folder, reader = made
    page = (folder / FILE).read_text(encoding="utf-8")
    assert not re.search(r"Tables? [0-9]", page)
    assert not re.search(r">[34]: ", page)
    assert "heilongjiang" not in page.lower()
    assert len(reader.ids) > 20


@pytest.mark.slow
def test_every_table_explains_its_dashes_and_has_no_blank_cell(made):
    folder, _ = made
    page = (folder / FILE).read_text(encoding="utf-8")
    for body in re.findall(r"<table.*?</table>(.*?)(?=<p class=\"caption\"|</section>)", page, re.DOTALL):
        table = page[: page.index(body)].rpartition("<table")[2]
        cells = re.findall(r"<td[^>]*>(.*?)</td>", table, re.DOTALL)
        if "–" in cells:
            assert "A dash has a reason. " in body
        notes = re.findall(r"<th scope=\"col\">(.*?)</th>", table)
        assert "Note" in notes or "" not in cells


@pytest.mark.slow
def test_figures_and_tables_come_in_the_formats_that_are_asked_for(made):
    folder, _ = made
    svgs = {path.stem for path in (folder / "figures").glob("*.svg")}
    assert svgs == {path.stem for path in (folder / "figures").glob("*.png")}
    assert svgs == {path.stem for path in (folder / "figures").glob("*.pdf")}
    assert {"forest", "path"} <= svgs
    assert (folder / "specifications.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "specifications.pdf").read_bytes().startswith(b"%PDF")
    tables = {path.stem for path in (folder / "tables").glob("*.md")} - {"ledger"}
    assert set(openpyxl.load_workbook(folder / "tables.xlsx").sheetnames) == tables
    assert len(Document(folder / "tables.docx").tables) == len(tables)


@pytest.mark.slow
def test_it_is_printed_on_three_pages(browser, made):
    """What is folded is not printed."""
    page = browser.new_page()
    page.goto((made[0] / FILE).as_uri())
    printed = page.pdf(format="A4")
    assert 1 <= len(re.findall(rb"/Type\s*/Page[^s]", printed)) <= 3
    page.emulate_media(media="print")
    assert page.locator("#methods").is_visible()
    assert not page.locator("#table-differences").is_visible()
    page.close()


@pytest.mark.slow
def test_a_format_or_a_column_that_is_not_there_is_said_before_anything_is_computed(made, capsys):
    folder, _ = made
    assert program("report", folder, "--figures", "gif") == 2
    assert "--figures: unknown format 'gif'" in capsys.readouterr().err
    assert program("report", folder, "--label", "z=dose") == 2
    assert "--label: the fit has no column 'z'" in capsys.readouterr().err


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A report of more groups than are drawn."""
    folder = fitted(tmp_path_factory.mktemp("many"), 7, 14, "--model", "partial_pooling")
    with pytest.MonkeyPatch.context() as patch:
        for module in ("panelpage", "paneltables"):
            patch.setattr(f"cbec_bayes.reporting.{module}.MOST_DRAWN", 4)
        assert program("report", folder, "--workers", 1, "-q") == 0
    return folder


@pytest.mark.slow
def test_a_panel_without_groups(tmp_path):
    alone = fitted(tmp_path, 0, 8)
    assert program("report", alone, "--workers", 1, "-q") == 0
    text = (alone / FILE).read_text(encoding="utf-8")
    assert "<h1>How does y &amp; &lt;b&gt; move with x?</h1>" in text
    assert "between the" not in text[: text.index("</header>")]
    answer = text[text.index("The answer") : text.index("<figure>")]
    assert "group" not in answer
    assert "clustered by city (8 clusters)" in answer
    assert "not applicable" in set(pd.read_csv(alone / "checks.csv")["passed"])
    assert "These do not apply to this model or to this panel, for the reason stated." in text
    assert not (alone / "figures" / "path.svg").exists()


@pytest.mark.slow
def test_a_panel_with_many_groups(many):
    page = (many / FILE).read_text(encoding="utf-8")
    assert "3 groups between them are in effects.csv" in page
    assert "3 groups lie between them" in page
    assert not (many / "figures" / "path.svg").exists()  # seven lines and their labels are too many
    assert page.count("<script>") == 1  # the page's own, which filters rows
    shown = page[page.index('id="table-effects_ends"') : page.index('id="all-groups"')]
    assert sum(f"r{k}</th>" in shown for k in range(7)) == 4


@pytest.mark.slow
def test_rows_of_many_groups_can_be_searched(browser, many):
    page = browser.new_page(viewport={"width": 400, "height": 800})
    page.goto((many / FILE).as_uri())
    page.click("#all-groups > summary")
    page.fill("#filter", "R3")
    visible = "[...document.querySelectorAll('#table-effects tbody tr')].filter(row => !row.hidden).length"
    assert page.evaluate(visible) == 1
    assert page.inner_text("#filter-count") == "1 rows"
    page.fill("#filter", "")
    assert page.evaluate(visible) == 10
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    page.close()


def test_a_folder_that_is_none(tmp_path, capsys):
    assert program("report", tmp_path) == 2
    assert "not the folder of a fit" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("severities", "said"),
    [
        (
            [Severity.FINE, Severity.IDLE],
            "1 check was made: 1 is fine. 1 more does not apply to this model or to this panel.",
        ),
        (
            [Severity.FINE, Severity.KNOWING, Severity.FINE, Severity.IDLE, Severity.IDLE],
            "The check “One unit left out” is worth knowing: Second. 3 checks were made: 1 is worth knowing (one "
            "unit left "
            "out), 2 are fine. 2 more do not apply to this model or to this panel.",
        ),
        (
            [Severity.FINE, Severity.WIDENS, Severity.CHANGES],
            "The check “Agreement with the classical regressions” changes the answer: Third. 3 checks were made: 1 "
            "changes the answer (agreement with the classical regressions), 1 widens it (one unit left out), 1 is "
            "fine.",
        ),
    ],
)
def test_the_severest_check_is_said_first(severities, said):
    names = ("power_scaling", "leave_one_unit_out", "agreement", "left_out_rows", "model_comparison")
    texts = ("First.", "Second.", "Third.", "Fourth.", "Fifth.")
    results = [CheckResult(*one, pd.DataFrame(), None, t) for *one, t in zip(names, severities, texts, strict=False)]
    assert _checks_sentence(SimpleNamespace(checks=SimpleNamespace(results=results))) == said
