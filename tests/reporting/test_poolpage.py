"""The page of pooled estimates: whole, offline, of any labels and any file, and it says what the tables say."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from cbec_bayes.jobs.classical_pooling import told
from cbec_bayes.reporting.poolpage import MOST_ROWS
from tests.support.called import status_of as program
from tests.support.pages import Reader

FOLDER = Path(__file__).parents[1] / "published" / "estimates"
FILES = sorted(path.name for path in FOLDER.glob("*.csv"))


def page_of(data: Path, out: Path) -> str:
    """Pool a file and return its page, which has to be whole and to need nothing from elsewhere."""
    assert program("published", data, "--out", out, "-q") == 0
    assert program("report", out, "-q") == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    assert len(reader.ids) == len(set(reader.ids))
    assert set(reader.labels) <= set(reader.ids)
    assert [link for link in reader.links if not link.startswith("#")] == []
    assert {link[1:] for link in reader.links} <= set(reader.ids)
    return page


@pytest.mark.parametrize("name", FILES)
def test_every_file_of_estimates_has_its_page(tmp_path, name):
    page = page_of(FOLDER / name, tmp_path / "out")
    classical = pd.read_csv(tmp_path / "out" / "classical_pooling.csv").set_index("estimator")
    effects = pd.read_csv(tmp_path / "out" / "effects.csv").set_index("group")
    common, shown = effects.loc["(all)"], classical.loc["reml_knapp_hartung"]
    assert f"{told(common['ci_low'])} to {told(common['ci_high'])}" in page
    assert f"{told(shown['estimate'])} ({told(shown['ci_low'])} to {told(shown['ci_high'])})" in page
    assert page.count('<span class="badge">printed</span>') >= 5
    for figure in ("forest", "funnel", "path"):
        assert (tmp_path / "out" / "figures" / f"{figure}.svg").exists()
        assert f'aria-label="{"Shrinkage path" if figure == "path" else figure.capitalize()}' in page
    small = pd.read_csv(tmp_path / "out" / "small_studies.csv")
    assert all(sentence.split(".")[0].replace("'", "&#39;") in page for sentence in small["assumes"])


def test_labels_are_text(tmp_path):
    (tmp_path / "f.csv").write_text("label,estimate,se\n<script>a,0.2,0.1\nb & c,0.3,0.1\n$x_1$,0.1,0.1\n")
    page = page_of(tmp_path / "f.csv", tmp_path / "out")
    assert "<script" not in page
    assert "&lt;script&gt;a" in page


def test_many_groups_are_shown_from_both_ends(tmp_path):
    n = MOST_ROWS + 15
    rows = "".join(f"g{k},{k / 10},0.1\n" for k in range(n))
    (tmp_path / "f.csv").write_text(f"label,estimate,se\n{rows}")
    page = page_of(tmp_path / "f.csv", tmp_path / "out")
    forest = (tmp_path / "out" / "figures" / "forest.svg").read_text(encoding="utf-8")
    drawn = {int(label) for label in re.findall(r">g(\d+)<", forest)}
    assert drawn == {*range(MOST_ROWS // 2), *range(n - MOST_ROWS // 2, n)}
    assert "15 groups between them are in effects.csv" in page
    assert not (tmp_path / "out" / "figures" / "path.svg").exists()


def test_one_estimate_has_a_page_without_what_needs_several(tmp_path):
    (tmp_path / "f.csv").write_text("label,estimate,se\na,0.2,0.1\nb,,\n")
    page = page_of(tmp_path / "f.csv", tmp_path / "out")
    assert "What does this estimate say?" in page
    assert "Funnel" not in page
    assert "nothing is pooled" in page


def test_terminal_and_json_have_the_classical_line(tmp_path, capsys):
    (tmp_path / "f.csv").write_text("label,estimate,se\na,0.2,0.1\nb,0.4,0.1\nc,0.9,0.3\n")
    assert program("published", tmp_path / "f.csv") == 0
    assert "Classical answer, REML with Knapp and Hartung's standard errors: " in capsys.readouterr().out
    assert program("published", tmp_path / "f.csv", "--json") == 0
    said = capsys.readouterr().out
    assert '"classical_pooling"' in said
    assert '"small_studies"' in said


def test_no_table_says_a_level_that_its_intervals_do_not_have(tmp_path, capsys):
    (tmp_path / "f.csv").write_text("label,estimate,lower,upper\na,0.2,0.1,0.3\nb,0.4,0.2,0.6\n")
    assert program("published", tmp_path / "f.csv", "--interval", "0.8") == 0
    said = capsys.readouterr().out
    assert "95 % interval" in said
    assert "Standard errors are taken from the 80 % interval" in said


def test_what_slopes_depend_on_and_single_estimates_have_their_tables(tmp_path):
    rows = "".join(f"g{k},{0.1 * k + 0.02 * (-1) ** k},0.05,{k},{'a' if k % 2 else 'b'}\n" for k in range(8))
    (tmp_path / "f.csv").write_text(f"label,estimate,se,latitude,kind\n{rows}")
    asked = {"with": ["--slope-on", "latitude"], "clustered": ["--cluster", "kind", "--correlation", "0.3"]}
    pages = {}
    for name, options in asked.items():
        assert program("published", tmp_path / "f.csv", *options, "--out", tmp_path / name, "-q") == 0
        assert program("report", tmp_path / name, "-q") == 0
        pages[name] = (tmp_path / name / "report.html").read_text(encoding="utf-8")
    for table in ("slope_regression", "classical_regression", "leave_one_out"):
        assert f'id="table-{table}"' in pages["with"]
        assert (tmp_path / "with" / f"{table}.csv").exists()
    assert "The slope rises with latitude" in pages["with"]
    assert "With latitude beside it the slope of an average group is" in pages["with"]
    assert 'id="table-leave_one_out"' in pages["clustered"]
    assert 'id="table-classical_regression"' not in pages["clustered"]
    assert "it takes errors of estimates for independent" in pages["clustered"]
