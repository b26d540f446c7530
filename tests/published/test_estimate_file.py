"""Files of estimates as people have them: every form that a printed number, a column's name or an uncertainty takes."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from cbec_bayes.jobs.published import pool_file
from cbec_bayes.published.estimate_file import read_estimates
from cbec_bayes.published.estimates import under_reading
from cbec_bayes.runtime.errors import InputError

Z = stats.norm.ppf(0.975)
FORMS = {
    "figure dash": ("label,estimate,se\nA,‒0.2,0.1\nB,0.3,0.1\n", [-0.2, 0.3], [0.1, 0.1], ["", ""]),
    "space behind the minus": ("label,estimate,se\nA,− 0.2,0.1\nB,0.3,0.1\n", [-0.2, 0.3], [0.1, 0.1], ["", ""]),
    "stars attached": ("label,estimate,se\nA,0.2**,(0.1)\nB,0.3,(0.1)\n", [0.2, 0.3], [0.1, 0.1], ["**", ""]),
    "asterisk operators": (
        "label,estimate,se,stars\nA,0.2,0.1,∗∗\nB,0.3,0.1,∗∗∗\n",
        [0.2, 0.3],
        [0.1, 0.1],
        ["**", "***"],
    ),
    "interval": (
        "label,estimate,ci_low,ci_high\nA,0.2,0.0,0.4\nB,0.3,0.1,0.5\n",
        [0.2, 0.3],
        [0.2 / Z, 0.2 / Z],
        ["", ""],
    ),
    "t statistic": ("label,estimate,t\nA,0.2,2\nB,0.3,3\n", [0.2, 0.3], [0.1, 0.1], ["", ""]),
    "p-value": ("label,estimate,p\nA,0.2,0.05\nB,0.3,0.01\n", [0.2, 0.3], [0.2 / Z, 0.3 / 2.5758293], ["", ""]),
    "usual names": ("study,coef,std_error\nA,0.2,0.1\nB,0.3,0.1\n", [0.2, 0.3], [0.1, 0.1], ["", ""]),
    "names of metafor": ("study,yi,vi\nA,0.2,0.01\nB,0.3,0.04\n", [0.2, 0.3], [0.1, 0.2], ["", ""]),
    "names of broom": ("Study;Estimate;Std.Error\nA;0.2;0.1\nB;0.3;0.1\n", [0.2, 0.3], [0.1, 0.1], ["", ""]),
    "names of tidy tables": (
        "term,group,estimate,std.error,conf.low,conf.high\nx,A,0.2,0.1,0.0,0.4\nx,B,0.3,0.1,0.1,0.5\n",
        [0.2, 0.3],
        [0.1, 0.1],
        ["", ""],
    ),
    "names of R's coefficients": (
        "label,Estimate,Std. Error,t value,Pr(>|t|)\nA,0.2,0.1,2,0.046\nB,0.3,0.1,3,0.003\n",
        [0.2, 0.3],
        [0.1, 0.1],
        ["", ""],
    ),
    "names of statsmodels": (
        "name\tcoef\t[0.025\t0.975]\nA\t0.2\t0.0\t0.4\nB\t0.3\t0.1\t0.5\n",
        [0.2, 0.3],
        [0.2 / Z, 0.2 / Z],
        ["", ""],
    ),
    "names of confint": (
        "study,beta,2.5 %,97.5 %\nA,0.2,0.0,0.4\nB,0.3,0.1,0.5\n",
        [0.2, 0.3],
        [0.2 / Z, 0.2 / Z],
        ["", ""],
    ),
    "95 % in the names": (
        "study,effect,95% CI lower,95% CI upper\nA,0.2,0.0,0.4\nB,0.3,0.1,0.5\n",
        [0.2, 0.3],
        [0.2 / Z, 0.2 / Z],
        ["", ""],
    ),
    "the estimate's own error": ("study,effect,estimate_se\nA,0.2,0.1\nB,0.3,0.1\n", [0.2, 0.3], [0.1, 0.1], ["", ""]),
    "decimal commas": (
        'label,estimate,se\nA,"0,512","0,212"\nB,"0,300","0,100"\n',
        [0.512, 0.3],
        [0.212, 0.1],
        ["", ""],
    ),
    "semicolons and commas": ("label;estimate;se\nA;0,5;0,2\nB;-1,3;0,1\n", [0.5, -1.3], [0.2, 0.1], ["", ""]),
    "a missing estimate": (
        "label\testimate\tse\nA\tNA\tNA\nB\t5.87e−06\t1e-6\n",
        [math.nan, 5.87e-6],
        [math.inf, 1e-6],
        ["", ""],
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms_of_files(tmp_path, name):
    text, estimates, errors, stars = FORMS[name]
    (tmp_path / "f.csv").write_text(text, encoding="utf-8")
    printed = read_estimates(tmp_path / "f.csv")
    read = under_reading(printed, "as_printed")
    assert printed.labels == ("A", "B")
    assert list(read.values) == pytest.approx(estimates, rel=1e-7, nan_ok=True)
    assert list(read.typical) == pytest.approx(errors, rel=1e-7)
    assert [row.stars for row in printed.rows] == stars


REFUSED = {
    "two readings of a comma": ('label,estimate,se\nA,"0,5",0.2\n', "'0.2' has a point and '0,5' a decimal comma"),
    "two estimates": ("label,coef,yi,se\nA,1,1,1\n", "'coef' and 'yi' could each be the estimate"),
    "a ratio": ("label,OR,se\nA,1.2,0.1\n", "'OR' is a ratio; give its logarithm as 'estimate'"),
    "no uncertainty": ("label,estimate\nA,1\n", "expected is a standard error"),
    "half an interval": ("label,estimate,lower\nA,1,0\n", "has no second end"),
    "an interval of a ratio": ("label,estimate,lower,upper\nA,1.5,1.1,2.9\n", "is not the middle of 1.1 to 2.9"),
    "a t of another sign": ("label,estimate,t\nA,1.5,-2\n", "-2 has another sign than 1.5"),
    "a p-value above one": ("label,estimate,p\nA,1.5,1.2\n", "1.2 is no p-value"),
    "stars on a standard error": ("label,estimate,se\nA,1.5,1.2*\n", "'1.2*' is not a number"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_ambiguous_is_refused(tmp_path, name):
    text, message = REFUSED[name]
    (tmp_path / "f.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_estimates(tmp_path / "f.csv")
    assert message in str(caught.value)


def test_a_comma_that_may_group_thousands_gets_a_note(tmp_path):
    (tmp_path / "f.csv").write_text('label,estimate,se\nA,"1,234",300\nB,900,"2,000"\n', encoding="utf-8")
    printed = read_estimates(tmp_path / "f.csv")
    assert [float(row.estimate) for row in printed.rows if row.estimate] == [1234, 900]
    assert printed.notes == ("The comma of '1,234' is read as one of thousands; nothing in the column says otherwise.",)


def test_intervals_of_another_level_and_degrees_of_freedom(tmp_path):
    (tmp_path / "f.csv").write_text(
        "label,estimate,lower,upper,df\nA,0.2,0.0,0.4,5\nB,0.2,0.0,0.4,\n", encoding="utf-8"
    )
    read = under_reading(read_estimates(tmp_path / "f.csv", ci_prob=0.9), "as_printed")
    assert list(read.typical) == pytest.approx([0.2 / stats.t.ppf(0.95, 5), 0.2 / stats.norm.ppf(0.95)], rel=1e-9)


def test_degrees_of_freedom_give_a_t_likelihood_and_are_said_to(tmp_path):
    rows = "label,estimate,se{}\nA,0.50,0.18{}\nB,0.30,0.10{}\nC,0.20,0.04{}\n"
    (tmp_path / "df2.csv").write_text(rows.format(",df", *[",2"] * 3), encoding="utf-8")
    (tmp_path / "plain.csv").write_text(rows.format(*[""] * 4), encoding="utf-8")
    found = {name: pool_file(tmp_path / f"{name}.csv", model="published_half_normal") for name in ("plain", "df2")}
    said = "Estimates with degrees of freedom have a t likelihood."
    assert [said in found[name].notes for name in ("plain", "df2")] == [False, True]
    plain, heavy = (found[name].effects.set_index("group") for name in ("plain", "df2"))
    assert heavy.loc["(all)", "sd"] > 1.05 * plain.loc["(all)", "sd"]  # errors that are estimated say less


@pytest.mark.parametrize("df", ["0", "-1"])
def test_degrees_of_freedom_have_to_be_positive(df, tmp_path):
    (tmp_path / "df0.csv").write_text(f"label,estimate,se,df\nA,0.50,0.18,{df}\nB,0.30,0.10,5\n", encoding="utf-8")
    with pytest.raises(InputError, match="df"):
        pool_file(tmp_path / "df0.csv", model="published_half_normal")


def test_a_contradiction_beside_a_standard_error_gets_a_note(tmp_path):
    text = "label,estimate,se,lower,upper,t\nA,0.2,0.1,0.0,0.4,2.0\nB,0.3,0.1,-0.6,1.2,3.0\nC,0.3,0.1,0.1,0.5,9.5\n"
    (tmp_path / "f.csv").write_text(text, encoding="utf-8")
    printed = read_estimates(tmp_path / "f.csv")
    assert list(under_reading(printed, "as_printed").typical) == [0.1, 0.1, 0.1]
    said = "The standard error contradicts the interval or the t statistic beside it in 'B', 'C'; the standard error"
    assert [note.startswith(said) for note in printed.notes] == [True]


def test_rounding_beside_a_standard_error_is_no_contradiction(tmp_path):
    text = "label,estimate,se,lower,upper,t\nA,0.04,0.01,0.01,0.07,2.7\nB,0.3,0.1,0.1,0.5,3\n"
    (tmp_path / "f.csv").write_text(text, encoding="utf-8")
    assert read_estimates(tmp_path / "f.csv").notes == ()


@pytest.fixture
def workbook(tmp_path):
    """Write sheets of rows to a workbook, and return its path."""
    from openpyxl import Workbook

    def write(*sheets):
        book = Workbook()
        book.remove(book.active)
        for rows in sheets:
            sheet = book.create_sheet()
            for row in rows:
                sheet.append(row)
        book.save(tmp_path / "f.xlsx")
        return tmp_path / "f.xlsx"

    return write


ESTIMATES = [["study", "yi", "sei"], ["A", 0.123456789, 0.05], ["B", -1, 0.25], ["new", None, None]]


def test_a_workbook_of_estimates_is_read_with_all_digits(workbook):
    path = workbook([["made by", "us"]], ESTIMATES)
    printed = read_estimates(path)
    assert printed.labels == ("A", "B", "new")
    assert list(under_reading(printed, "as_printed").values) == pytest.approx([0.123456789, -1, math.nan], nan_ok=True)
    assert pool_file(path, model="published_half_normal").estimates.labels == ("A", "B", "new")


def test_two_sheets_of_estimates_are_asked_about(workbook):
    with pytest.raises(InputError, match="2 sheets have a header of label, estimate and standard error"):
        read_estimates(workbook(ESTIMATES, ESTIMATES))


def test_a_workbook_without_estimates_is_taken_for_a_printed_table(workbook):
    path = workbook([["", "(1)"], ["x", "0.5"], ["", "(0.2)"]])
    assert pool_file(path, model="published_half_normal", term="x").estimates.labels == ("(1)",)
    with pytest.raises(InputError, match="no sheet has a header"):
        read_estimates(path)
