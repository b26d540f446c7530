"""One row of printed tables, pooled over their columns."""

from __future__ import annotations

import pytest
from scipy import stats

from cbec_bayes.jobs.published import pool_file
from cbec_bayes.published.estimates import heterogeneity, under_reading
from cbec_bayes.published.from_tables import estimates_of_term
from cbec_bayes.published.printed import load_paper
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.files import asset_dir
from tests.support.printed_tables import write

TABLE4 = asset_dir("data") / "published" / "cbec_circulation" / "table4.csv"


def test_the_slopes_of_a_table_are_those_of_its_paper(paper):
    printed = estimates_of_term(load_paper(), "cbec")
    by_label = {row.label: row for row in printed.rows}
    for row, label in zip(heterogeneity(paper).rows, ("East", "Central", "West"), strict=False):
        found = by_label[label]
        assert (found.estimate, found.parenthesis, found.stars, found.df) == (
            *(row.estimate, row.parenthesis, row.stars, row.df),
        )


def test_a_table_is_pooled_like_a_file_of_its_numbers(tmp_path):
    rows = "label,estimate,se\nEast,0.22,0.259\nCentral,0.751,0.328\nWest,0.074,0.109\n"
    (tmp_path / "e.csv").write_text(rows)
    of_table = pool_file(TABLE4, term="cbec", model="published_half_normal")
    of_file = pool_file(tmp_path / "e.csv", model="published_half_normal")
    assert list(of_table.effects["mean"]) == pytest.approx(list(of_file.effects["mean"]), rel=1e-12)
    assert any(note == "Pooled is 'cbec' of 3 columns." for note in of_table.notes)


@pytest.mark.parametrize(
    ("quantity", "printed", "se"),
    [
        ("standard_error", "0.20", 0.2),
        ("t_statistic", "2.50", 0.2),
        ("p_value", "0.0124", 0.5 / stats.norm.isf(0.0062)),
        ("ci_low", "0.108", 0.392 / stats.norm.isf(0.025)),
    ],
)
def test_what_stands_beside_an_estimate_is_its_precision(tmp_path, quantity, printed, se):
    rows = [("1", c, "x", "estimate", "0.50", "") for c in "ab"]
    rows += [("1", c, "x", quantity, printed, "") for c in "ab"]
    rows += [("1", c, "x", "ci_high", "0.892", "") for c in "ab" if quantity == "ci_low"]
    found = under_reading(estimates_of_term(load_paper(write(tmp_path, rows)), None), "as_printed")
    assert list(found.typical) == pytest.approx([se, se], rel=1e-9)


@pytest.mark.parametrize(
    ("toml", "term", "message"),
    [
        ("", None, "--term must name the row that is pooled; the rows are x, z"),
        ("", "y", "unknown term 'y'"),
        ("", "z", "neither a standard error nor a number"),
        ("[tables.'1']\nscale = 'ratio'", "x", "has ratios"),
    ],
)
def test_what_cannot_be_pooled_is_refused(tmp_path, toml, term, message):
    rows = [("1", "a", "x", "estimate", "0.50", ""), ("1", "a", "x", "parenthesis", "0.20", "")]
    rows.append(("1", "a", "z", "estimate", "0.50", ""))
    with pytest.raises(InputError, match=message):
        estimates_of_term(load_paper(write(tmp_path, rows, toml)), term)
