"""The calibration of effects of adoption in the report: its sentence and its table say what event_coverage.csv does."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from cbec_bayes.calibration.event_coverage import HIERARCHICAL, QUANTITIES, SANDWICH, WRONG_ERRORS
from cbec_bayes.jobs.calibrate import Shown, committed
from cbec_bayes.reporting.calibration import calibration_sentences, calibration_tables


@pytest.fixture(scope="module")
def shown() -> Shown:
    found = committed()
    assert found is not None
    return found


def coverage(events: pd.DataFrame, method: str) -> pd.Series:
    own = events[(events["column"] == QUANTITIES[0]) & (events["method"] == method)]
    return own.set_index("scenario")["coverage"]


def test_the_sentence_has_the_numbers_of_the_table(shown):
    (said,) = (one for one in calibration_sentences(shown) if "two-way coefficient" in one)
    right = coverage(shown.events, HIERARCHICAL).drop(WRONG_ERRORS)
    ends = [f"{value:.2f}" for method in ("twfe", "sun_abraham") for value in _ends(coverage(shown.events, method))]
    ends += [f"{value:.2f}" for value in _ends(right)]
    ends += [f"{coverage(shown.events, method)[WRONG_ERRORS]:.2f}" for method in (HIERARCHICAL, SANDWICH)]
    assert re.findall(r"\d\.\d\d", said) == ends


def _ends(values: pd.Series) -> tuple[float, float]:
    return values.min(), values.max()


def test_the_table_has_every_interval_of_every_effect(shown):
    table = calibration_tables(shown)[-1]
    assert table.name == "calibration_events"
    events = shown.events.set_index(["column", "method", "scenario"])
    for column, method, *cells in table.rows:
        for scenario, cell in zip(table.columns[2:], cells, strict=True):
            row = events.loc[(column, method, scenario)]
            assert cell == f"{row['coverage']:.2f} ({row['width_median']:.3g})"
    assert len(table.rows) == len(shown.events) / 4
    assert f"{int(shown.events['replications'].max())} simulated panels" in table.caption
