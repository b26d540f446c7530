from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbec_bayes.published.intervals import Interval
from cbec_bayes.published.number import PrintedNumber
from cbec_bayes.published.printed import load_paper
from cbec_bayes.runtime.errors import InputError

HEADER = "table,column,term,quantity,printed,stars\n"


@given(st.floats(-1e6, 1e6, allow_subnormal=False), st.integers(0, 8))
def test_a_printed_number_contains_what_was_rounded(value, digits):
    printed = PrintedNumber.parse(f"{value:.{digits}f}")
    assert Fraction(value) in printed.interval
    assert printed.interval.high - printed.interval.low == Fraction(1, 10**digits)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("0.10", "0.095", "0.105"),
        (".5", "0.45", "0.55"),
        ("-.775", "-0.7755", "-0.7745"),
        ("1,234.5", "1234.45", "1234.55"),
        ("−2", "-2.5", "-1.5"),
        ("+3.", "2.5", "3.5"),
        ("1.0e-3", "0.00095", "0.00105"),
    ],
)
def test_forms_of_numbers(text, low, high):
    assert PrintedNumber.parse(text).interval == Interval(Fraction(low), Fraction(high))


def test_a_count_is_exact():
    assert PrintedNumber.parse("240", exact=True).interval == Interval(240, 240)


@pytest.mark.parametrize("text", ["", ".", "-", "abc", "1,23", "e5", "nan", "inf", "--1", "1.2.3", "0.1*"])
def test_what_is_no_number(text):
    with pytest.raises(ValueError, match="is not a number"):
        PrintedNumber.parse(text)


@pytest.mark.parametrize("text", ["1e101", "-2e400", "1e-400", "1e99999999"])
def test_numbers_beyond_measure_are_refused_quickly(text):
    with pytest.raises(ValueError, match="change the unit"):
        PrintedNumber.parse(text)


def test_the_paper_has_its_105_numbers(paper):
    cells = [n for c in paper.columns.values() for n in c.numbers.values()]
    cells += [c.estimate for column in paper.columns.values() for c in column.coefficients.values()]
    cells += [c.parenthesis for column in paper.columns.values() for c in column.coefficients.values()]
    cells += [n for m in paper.moments.values() for n in (m.n_obs, m.mean, m.sd, m.min, m.max)]
    assert len(cells) == 105
    assert all(cell is not None for cell in cells)


def test_cells_of_the_paper_are_as_printed(paper):
    east = paper.columns["4: East"]
    assert (east.coefficients["cbec"].estimate.text, east.coefficients["cbec"].stars) == ("0.22", "**")
    assert paper.columns["4: Central"].coefficients["constant"].estimate.text == "-.775"
    assert paper.columns["3: (2)"].numbers["r2"].text == "0.990"
    assert paper.full_sample["rail"].max is not None
    assert paper.full_sample["rail"].max.value == Decimal("0.10")
    assert paper.full_sample["rail"].max.text == "0.10"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,a,x,estimate,abc,\n", r"row 2, column 'printed': 'abc' is not a number"),
        ("1,a,x,slope,1,\n", "row 2, column 'quantity': unknown quantity 'slope'"),
        ("1,a,x,estimate,1,#\n", "row 2, column 'stars': unknown stars '#'"),
        ("1,a,x,estimate,1,\n1,a,x,parenthesis,-0.1,\n", "row 3, column 'printed': negative standard error -0.1"),
        ("1,a,x,parenthesis,0.1,\n", "has a parenthesis but no estimate"),
        ("1,a,x,parenthesis,0.1,*\n", "only an estimate carries stars"),
        ("1,a,,estimate,1,\n", "column 'term': 'estimate' needs a term"),
        ("1,,x,estimate,1,\n", "column 'column': the cell is blank"),
        (",a,x,estimate,1,\n", "column 'table': the cell is blank"),
        ("1,a,,n_obs,2.5,\n", "'2.5' is not a count"),
        ("1,a,,n_obs,0,\n", "'0' is not a count"),
        ("1,a,x,sd,-1,\n", "negative standard deviation"),
        ("1,a,x,estimate,1,\n1,a,x,estimate,2,\n", "has a second 'estimate'"),
    ],
)
def test_a_malformed_table_is_named(tmp_path, rows, message):
    (tmp_path / "t.csv").write_text(HEADER + rows)
    with pytest.raises(InputError, match=message):
        load_paper(tmp_path)


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("what = 1", "what: unknown key"),
        ("panel = 3", "panel: a table is needed"),
        ('claimed_reading = "z"', "claimed_reading: unknown reading 'z'; there are se, p, t"),
        ("[panel]\nunits = 0", "panel.units: a positive whole number is needed"),
        ('[stars]\n"*" = "two"', "a level such as"),
        ('[stars]\n"*" = "2"', r"stars\.\*: a level must lie between 0 and 1, not 2"),
        ("stars = {}", "stars: at least one level is needed"),
        ("stars = 3", "stars: a table of levels is needed"),
        ("partitions = 3", r"partitions: tables \[\[partitions\]\] are needed"),
        ("[[partitions]]\nparts = ['1: a']\nhole = '1: a'", r"partitions\[1\].hole: unknown key; did you mean 'whole'"),
        ("[exposure]\nterm = 3", r"exposure\.term: a text is needed"),
        ('[groups]\n"9: x" = "east"', "no column '9: x'"),
        ("[[partitions]]\nwhole = '1: a'", r"partitions\[1\].parts: a list of texts"),
        ('[moments]\ntable = "7"', "no such table"),
    ],
)
def test_a_malformed_paper_toml_is_named(tmp_path, toml, message):
    (tmp_path / "t.csv").write_text(HEADER + "1,a,x,estimate,1,\n")
    (tmp_path / "paper.toml").write_text(toml)
    with pytest.raises(InputError, match=message) as caught:
        load_paper(tmp_path)
    assert "paper.toml" in str(caught.value)


def test_folders_without_tables(tmp_path):
    with pytest.raises(InputError, match=r"no \.csv tables"):
        load_paper(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        load_paper(tmp_path / "none")


@pytest.mark.parametrize("text", ["0,123", "-0,500", "−0,512"])
def test_a_decimal_comma_is_never_thousands(text):
    with pytest.raises(ValueError, match="a comma before its decimals"):
        PrintedNumber.parse(text)
