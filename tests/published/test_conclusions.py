"""What follows from printed slopes is counted from tables that are small enough to count by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd

from cbec_bayes.estimands import Summary
from cbec_bayes.published.audit import Audit, Finding
from cbec_bayes.published.conclusions import conclude, prior_ranges
from cbec_bayes.published.readings import JUDGED, Verdict

SENSITIVITY = pd.DataFrame(
    [
        ("coherent", "narrow", "east", 0.2, 0.1, 0.3),
        ("coherent", "narrow", "west", 0.1, -0.1, 0.3),
        ("coherent", "wide", "east", 0.3, -0.2, 0.8),
        ("coherent", "wide", "west", 0.2, 0.0, 0.4),
        ("stars", "narrow", "east", 0.5, 0.4, 0.6),
        ("stars", "narrow", "west", 0.9, 0.8, 1.0),
    ],
    columns=["reading", "model", "group", "mean", "ci_low", "ci_high"],
)


def summary(low: float, high: float) -> Summary:
    return Summary(mean=(low + high) / 2, sd=0.1, ci_low=low, ci_high=high, p_positive=0.9)


def finding(verdict: Verdict, check: str = "reading") -> Finding:
    return Finding(
        table="3", column="(1)", term="x", check=check, verdict=verdict, interval=None, quantity="", detail=""
    )


ESTIMATES = SimpleNamespace(labels=("east", "west", "south"), printed=np.array([True, True, False]))
RESULT = SimpleNamespace(groups={"east": summary(0.1, 0.3), "west": summary(-0.1, 0.3), "south": summary(0.5, 0.9)})
AUDIT = Audit(
    (finding(Verdict.FAIL), finding(Verdict.PASS), finding(Verdict.UNDETERMINED), finding(Verdict.FAIL, "stars_se"))
)


def test_conclusions_are_counted_over_combinations_of_reading_and_prior():
    found = conclude(ESTIMATES, RESULT, SENSITIVITY, AUDIT)
    assert found.groups == ("east", "west")  # the south is not printed, whatever its interval
    assert found.above_zero == {"east": 2}
    assert found.reaching_zero == ("west",)
    assert found.combinations == 3
    assert (found.contradicted, found.coefficients) == (1, 3)


def test_an_interval_that_ends_at_zero_is_not_above_it():
    result = SimpleNamespace(groups={"east": summary(0.0, 0.3), "west": summary(0.1, 0.3)})
    found = conclude(ESTIMATES, result, SENSITIVITY, AUDIT)
    assert found.above_zero == {"west": 1}
    assert found.reaching_zero == ("east",)


def test_ranges_between_priors_are_of_one_reading():
    east, west = prior_ranges(SENSITIVITY, "coherent", ("east", "west"))
    assert (east.group, east.means) == ("east", (0.2, 0.3))
    np.testing.assert_allclose(east.widths, (0.2, 1.0))
    np.testing.assert_allclose((*west.means, *west.widths), (0.1, 0.2, 0.4, 0.4))


def test_findings_are_counted_by_check_and_verdict():
    counts = AUDIT.counts()
    assert list(counts) == ["reading", "stars_se"]
    assert counts["reading"] == {verdict: int(verdict in JUDGED) for verdict in Verdict}
    assert counts["stars_se"] == {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.UNDETERMINED: 0, Verdict.NOT_THIS: 0}
