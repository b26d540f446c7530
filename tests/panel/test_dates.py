"""Dates whose year comes last: read where their days tell the order or a user does, refused with a sentence else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.panel import Reading, Roles, make_panel
from cbec_bayes.panel.periods import PeriodError, Periods, read_periods
from cbec_bayes.runtime.errors import InputError

TELLING = ("31/01/2014", "28/02/2014", "03/04/2014")
AMBIGUOUS = ("01/02/2014", "02/03/2014", "03/04/2014")


def read(cells: tuple[str, ...], dates: str | None = None, *, whole: bool = True) -> Periods:
    code = np.arange(len(cells))
    return read_periods(cells, code, np.zeros(len(cells), dtype=np.intp) if whole else None, "day", dates)


def days(*texts: str) -> list[float]:
    return [pd.Timestamp(text).toordinal() for text in texts]


def test_a_day_above_twelve_tells_the_order_of_all():
    expected = days("2014-01-31", "2014-02-28", "2014-04-03")
    assert read(TELLING).times.tolist() == expected
    turned = tuple("/".join([text[3:5], text[:2], text[6:]]) for text in TELLING)
    assert read(turned).times.tolist() == expected
    assert read(tuple(text.replace("/", "-") + " 10:30" for text in TELLING)).times.tolist() == expected


def test_what_a_user_says_is_taken():
    assert read(AMBIGUOUS, "day-first").times.tolist() == days("2014-02-01", "2014-03-02", "2014-04-03")
    assert read(AMBIGUOUS, "month-first").times.tolist() == days("2014-01-02", "2014-02-03", "2014-03-04")


@pytest.mark.parametrize(
    ("cells", "dates", "whole", "at", "said"),
    [
        (AMBIGUOUS, None, True, 0, "in '01/02/2014' the day or the month may come first"),
        (("31/01/2014", "01/31/2014"), None, True, 1, "the day comes first in '31/01/2014', and the month in"),
        (TELLING, "month-first", True, 0, "'31/01/2014' is no date, month-first: there is no month 31"),
        (TELLING, None, False, 0, "not all rows are looked at"),
        (("31/02/2014", "01/03/2014"), None, True, 0, "'31/02/2014' is no"),
    ],
)
def test_what_is_not_known_is_refused_with_the_cell(cells, dates, whole, at, said):
    with pytest.raises(PeriodError) as refused:
        read(cells, dates, whole=whole)
    assert refused.value.at == at
    assert said in refused.value.message


def test_a_panel_of_such_dates():
    rng = np.random.default_rng(1)
    months = pd.date_range("2014-01-05", periods=8, freq="MS") + pd.Timedelta(days=4)
    frame = pd.DataFrame({"unit": np.repeat(list("abcd"), 8), "time": [d.strftime("%d/%m/%Y") for d in months] * 4})
    frame = frame.assign(**{name: rng.normal(size=32) for name in ("y", "x")})
    roles = Roles(outcome="y", exposure="x", unit="unit", time="time")
    with pytest.raises(InputError) as refused:
        make_panel(frame, roles)
    assert "--dates day-first or --dates month-first says which" in str(refused.value)
    assert "\n" not in str(refused.value)
    panel = make_panel(frame, roles, reading=Reading(dates="day-first"))
    assert panel.periods[:2] == ("2014M02", "2014M03")
    with pytest.raises(InputError, match="--dates: unknown choice 'dmy'"):
        Reading(dates="dmy")
