"""Periods as people write them are read as counted periods, so that differences are elapsed ones."""

from __future__ import annotations

import datetime as dt
import itertools

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.model.blocks import blocks_for
from cbec_bayes.jobs.moments import gather
from cbec_bayes.panel import Interpolation, Reading, Roles, make_panel, read_panel
from cbec_bayes.panel.design import make_design
from cbec_bayes.panel.periods import Frequency, first_day, period_text, periods_of_days
from cbec_bayes.runtime.errors import InputError
from tests.support.panels import ROLES, table, with_cell

QUARTERS = [f"{year}Q{q}" for year in (2014, 2015) for q in (1, 2, 3, 4)]
MONTHS = [f"{year}M{m:02d}" for year in (2014, 2015) for m in range(1, 13)][6:18]
DATES = pd.date_range("2014-01-01", "2015-12-31")


def at(times, n_units=4):
    """Return a panel of units that are seen at each of some times."""
    return table(n_units, len(times)).assign(time=list(times) * n_units)


def read(times, **options):
    return make_panel(at(times), ROLES, reading=Reading(**options))


@pytest.mark.parametrize(
    "times",
    [
        QUARTERS,
        [one.lower() for one in QUARTERS],
        [one.replace("Q", "-Q") for one in QUARTERS],
        [one.replace("Q", " q") for one in QUARTERS],
        [f"Q{one[-1]} {one[:4]}" for one in QUARTERS],
        [f"{one[-1]}Q{one[:4]}" for one in QUARTERS],
        [int(one.replace("Q", "")) for one in QUARTERS],
        [one.replace("Q", "T") for one in QUARTERS],
        [one.replace("Q", "年") + "季度" for one in QUARTERS],
        pd.period_range("2014Q1", periods=8, freq="Q"),
        pd.date_range("2014-01-01", periods=8, freq="QS"),
        pd.date_range("2014-01-01", periods=8, freq="QE"),
        [f"{day:%d.%m.%Y}" for day in pd.date_range("2014-01-01", periods=8, freq="QE")],
        [f"{day:%Y-%m}" for day in pd.date_range("2014-01-01", periods=8, freq="QE")],
        [int(f"{day:%Y%m%d}") for day in pd.date_range("2014-01-01", periods=8, freq="QE")],
    ],
)
def test_quarters(times):
    panel = read(times)
    assert panel.frequency is Frequency.QUARTER
    assert panel.periods == tuple(QUARTERS)
    assert np.diff(panel.times).tolist() == [1] * 7
    assert "'time' is read as quarters, 2014Q1 to 2015Q4" in panel.notes


@pytest.mark.parametrize(
    "times",
    [
        MONTHS,
        [one.replace("M", "m") for one in MONTHS],
        [one.replace("M0", "m").replace("M", "m") for one in MONTHS],
        [one.replace("M", "-") for one in MONTHS],
        [one.replace("M", "/") for one in MONTHS],
        [one.replace("M", "年") + "月" for one in MONTHS],
        [int(one.replace("M", "")) for one in MONTHS],
        [float(one.replace("M", "")) for one in MONTHS],
        [int(one.replace("M", "") + "28") for one in MONTHS],
        [f"{dt.date(int(one[:4]), int(one[5:]), 1):%b %Y}" for one in MONTHS],
        [f"{dt.date(int(one[:4]), int(one[5:]), 1):%Y-%B}" for one in MONTHS],
        [f"{dt.date(int(one[:4]), int(one[5:]), 9):%d %b %Y}" for one in MONTHS],
        [dt.date(int(one[:4]), int(one[5:]), 17) for one in MONTHS],
        [f"{one.replace('M', '-')}-05T10:30:00" for one in MONTHS],
        pd.period_range("2014-07", periods=12, freq="M"),
    ],
)
def test_months(times):
    panel = read(times)
    assert (panel.frequency, panel.periods) == (Frequency.MONTH, tuple(MONTHS))
    assert np.diff(panel.times).tolist() == [1] * 11  # December to January too


@pytest.mark.parametrize(
    "times",
    [
        ["FY2000", "FY2001", "FY2002"],
        ["2000-2001", "2001-2002", "2002-2003"],
        ["2000/01", "2001/02", "2002/03"],
        ["2000-01", "2001-02", "2002-03"],
        ["FY 2000-01", "FY 2001-02", "FY 2002-03"],
        [200001, 200102, 200203],
        ["2000年", "2001年", "2002年"],
        ["2000-12-31", "2001-12-31", "2002-06-30"],
        ["2000-12", "2001-12", "2002-12"],
        [200012, 200112, 200212],
        pd.period_range("2000", periods=3, freq="Y"),
    ],
)
def test_years(times):
    assert read(times).times == (2000, 2001, 2002)


def test_half_years_weeks_and_days():
    assert read(["2014H1", "2014H2", "2015h1"]).periods == ("2014H1", "2014H2", "2015H1")
    assert read(pd.to_datetime(["2014-06-30", "2014-12-31", "2015-06-30"])).periods == ("2014H1", "2014H2", "2015H1")
    weeks = read(pd.date_range("2014-12-01", periods=8, freq="W-MON"))
    assert (weeks.frequency, np.diff(weeks.times).tolist()) == (Frequency.WEEK, [1] * 7)
    assert weeks.periods[4:6] == ("2015-W01", "2015-W02")
    assert read(weeks.periods).times == weeks.times
    days = read(pd.date_range("2014-12-25", periods=14))
    assert (days.frequency, np.diff(days.times).tolist()) == (Frequency.DAY, [1] * 13)
    assert days.periods[-1] == "2015-01-07"
    assert np.diff(read(["2014w51", "2014w52", "2015w1"]).times).tolist() == [1, 1]  # Stata's weeks are 52 a year


@pytest.mark.parametrize("frequency", [one for one in Frequency if one not in (Frequency.NUMBER, Frequency.STATA_WEEK)])
def test_each_day_lies_in_the_period_that_it_is_written_with(frequency):
    days = np.array([day.toordinal() for day in DATES])
    found = periods_of_days(days, frequency)
    assert set(np.diff(found).tolist()) <= {0, 1}
    pattern = {"year": "%Y", "month": "%YM%m", "week": "%G-W%V", "day": "%Y-%m-%d"}.get(frequency)
    for day, period in zip(DATES, found, strict=True):
        text = day.strftime(pattern) if pattern else f"{day.year}{'HQ'[frequency == 'quarter']}" + str(
            (day.month - 1) // (3 if frequency == "quarter" else 6) + 1
        )  # fmt: skip
        assert period_text(period, frequency) == text
        assert first_day(int(period), frequency) <= day.toordinal()


def test_a_year_with_gaps_counts_the_quarters_that_are_absent():
    panel = read([QUARTERS[k] for k in (0, 1, 4, 7)])
    assert np.diff(panel.times).tolist() == [1, 3, 3]
    assert "1 period in all: A 2014Q3" in " ".join(make_panel(at(QUARTERS).drop(index=2), ROLES).notes)
    assert "A 2014Q3" in " ".join(make_panel(at(QUARTERS).drop(index=2), ROLES).notes)


@pytest.mark.parametrize("form", ["month", "yyyymm", "yyyymmdd"])
@pytest.mark.parametrize("model", ["ar1", "unit_trends"])
def test_errors_and_trends_count_the_months_that_have_passed(form, model):
    """The density of dates is that of months which are numbered one by one, and not of their digits."""
    months = [MONTHS[k] for k in (0, 1, 4, 5, 6, 9)]
    given = {"month": months, "yyyymm": [int(one.replace("M", "")) for one in months]}
    given["yyyymmdd"] = [int(one.replace("M", "") + "15") for one in months]
    digits = at(given["yyyymm"], 8)

    def density(frame, **options):
        collapsed = make_collapsed(blocks_for(make_design(make_panel(frame, ROLES, reading=Reading(**options))), model))
        return collapsed.log_posterior(np.full((1, len(collapsed.names)), -0.5))[0]

    expected = density(digits.assign(time=[(0, 1, 4, 5, 6, 9)[k % 6] for k in range(len(digits))]))
    assert density(digits.assign(time=given[form] * 8)) == pytest.approx(expected, rel=1e-9)
    assert density(digits, frequency="number") != pytest.approx(expected, rel=1e-4)


def test_what_several_dates_in_one_period_are():
    frame = at(pd.to_datetime([f"{year}-03-31" for year in range(2010, 2018)]))
    twice = with_cell(frame, 4, "time", pd.Timestamp("2011-06-30"))
    with pytest.raises(
        InputError, match=r"row 4, column 'time': 'A' has several dates in 2011, also in row 3; .*--freq"
    ):
        make_panel(twice, ROLES)
    panel = make_panel(twice, ROLES, reading=Reading(frequency="quarter"))
    assert (panel.frequency, panel.periods[:3]) == (Frequency.QUARTER, ("2010Q1", "2011Q1", "2011Q2"))
    with pytest.raises(InputError, match="'A' has the period 2011 twice, also in row 3"):
        make_panel(with_cell(frame, 4, "time", pd.Timestamp("2011-03-31")), ROLES)
    with pytest.raises(InputError, match="several dates in 2014, also in row 2"):
        read(pd.date_range("2014-01-01", periods=8, freq="QS"), frequency="year")


def test_what_is_asked_for():
    assert read([201412, 201501], frequency="number").times == (201412, 201501)
    assert read(["2014-12-31", "2015-12-31"], frequency="month").periods == ("2014M12", "2015M12")
    assert read(["2014Q1", "2015Q1"], frequency="year").times == (2014, 2015)
    either = [201401, 201402, 201403, 201404, 201501, 201502]
    with pytest.raises(InputError, match="'201401' may be a quarter or a month"):
        read(either)
    assert np.diff(read(either, frequency="quarter").times).tolist() == [1] * 5
    assert np.diff(read(either, frequency="month").times).tolist() == [1, 1, 1, 9, 1]
    with pytest.raises(InputError, match="a quarter does not say in which month it is"):
        read(QUARTERS, frequency="month")
    with pytest.raises(InputError, match="plain numbers, of which no month is known"):
        read([2014, 2015], frequency="month")


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([*QUARTERS, "2014-05"], "row 10, column 'time': '2014-05' is not a quarter, other periods are"),
        ([*MONTHS, "2014M13"], "'2014M13' is not a month, other periods are"),
        (["2014Q5", "2014Q6"], "'2014Q5' is no period; write numbers, years, dates"),
        (["2014-02-30", "2014-02-28"], "'2014-02-30' is not a date, other periods are"),
        (["spring", "autumn"], "'spring' is no period"),
        ([2014, "2015Q1"], "'2014' is not a quarter, other periods are"),
    ],
)
def test_what_is_no_period_is_named(times, message):
    with pytest.raises(InputError, match=message):
        read(times)


@pytest.mark.parametrize(
    "times",
    [[1, 2, 3], [2014, 2015, 2017], [1.0, 1.5, 2.0], [201413, 201420, 201450], [300001, 300002], [20140, 20149]],
)
def test_other_numbers_stay_numbers(times):
    assert read(times).times == tuple(times)
    assert read(times).frequency is Frequency.NUMBER


@pytest.mark.parametrize(
    ("form", "expected"),
    [("tq", QUARTERS[:4]), ("tm", ["2014M01", "2014M04", "2014M07", "2014M10"]), ("td", QUARTERS[:4]),
     ("tc", QUARTERS[:4]), ("tw", ["2014w1", "2014w13", "2014w26", "2014w40"])],
)  # fmt: skip
def test_stata_counts_periods_of_its_own(tmp_path, form, expected):
    frame = at(pd.date_range("2014-01-01", periods=4, freq="QS"))
    frame.to_stata(tmp_path / "t.dta", write_index=False, convert_dates={"time": form})
    assert read_panel(tmp_path / "t.dta", ROLES).periods == tuple(expected)


@pytest.mark.parametrize("suffix", [".csv", ".xlsx", ".parquet"])
def test_files_of_every_kind_have_quarters(tmp_path, suffix):
    for k, times in enumerate((QUARTERS, pd.date_range("2014-01-01", periods=8, freq="QS"))):
        path = tmp_path / f"{k}{suffix}"
        writes = {".csv": "to_csv", ".xlsx": "to_excel", ".parquet": "to_parquet"}
        getattr(at(times), writes[suffix])(path, index=False)
        assert read_panel(path, ROLES).periods == tuple(QUARTERS)


def test_ledger_and_fills_name_periods_as_they_are_written():
    frame = with_cell(with_cell(at(QUARTERS), 4, "x", None), 13, "z", None)
    panel = make_panel(frame, ROLES, fill=Interpolation(("x",)))
    assert panel.ledger["time"].tolist() == ["2014Q3", "2014Q4"]
    assert panel.ledger["reason"][0] == "linear between 2014Q2 and 2014Q4"


def test_moments_keep_the_frequency_and_refuse_two(tmp_path):
    frame = at(QUARTERS)
    roles = Roles(outcome="y", exposure="x", controls=("z",), unit="unit", time="time")
    found = gather([frame.iloc[:20], frame.iloc[20:]], roles)
    assert (found.frequency, found.times) == (Frequency.QUARTER, make_panel(frame, ROLES).times)
    other = frame.assign(time=list(itertools.islice(itertools.cycle(MONTHS[:8]), len(frame))), unit="other")
    with pytest.raises(InputError, match="periods are months here and quarters in the other rows; make them the same"):
        gather([frame, other], roles)
