"""The common slope without each estimate: what the others give alone, with the priors and the unit of all."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.published import leave_one_out as module
from cbec_bayes.published.estimates import Estimates, KnownError
from cbec_bayes.published.leave_one_out import leave_one_out
from cbec_bayes.published.summary_model import SummaryModel
from cbec_bayes.published.terms import Terms
from cbec_bayes.runtime.errors import GateError

SCALE = 0.6
MODEL = SummaryModel("m", "", Prior("flat", {}), Prior("half_normal", {"scale": SCALE}), 1.0)
VALUES, ERRORS = np.array([0.22, 0.751, math.nan, 0.074, -0.3]), np.array([0.08, 0.328, math.nan, 0.109, 0.2])
ROWS = Estimates(tuple("abcde"), VALUES, tuple(None if math.isnan(s) else KnownError(float(s), "") for s in ERRORS))


def by_grid(values, variances, columns):
    """Return mean, sd, P(common slope > 0) and the mean of tau by dense solves on an even grid of tau."""
    tau = np.linspace(0, 5, 2001)
    log_p, means, sds = [], [], []
    for t in tau:
        weight = np.linalg.inv(variances + t**2 * np.eye(len(values)))
        precision = columns.T @ weight @ columns
        gamma = np.linalg.solve(precision, columns.T @ weight @ values)
        left = values - columns @ gamma
        log_p.append((np.linalg.slogdet(weight)[1] - np.linalg.slogdet(precision)[1] - left @ weight @ left) / 2)
        means.append(gamma[0])
        sds.append(math.sqrt(np.linalg.inv(precision)[0, 0]))
    weights = np.exp(np.array(log_p) - max(log_p) - (tau / SCALE) ** 2 / 2)
    weights[0] /= 2
    weights /= weights.sum()
    means, sds = np.array(means), np.array(sds)
    mean = weights @ means
    sd = math.sqrt(weights @ (sds**2 + (means - mean) ** 2))
    # The trapezoidal sum of tau, which is no even function, lacks a twelfth of the step squared times the density.
    return mean, sd, weights @ special.ndtr(means / sds), weights @ tau + tau[1] / 6 * weights[0]


def test_it_is_what_the_others_say_alone():
    found = leave_one_out(ROWS, MODEL)
    assert found.missing == {}
    assert list(found.table["label"]) == ["a", "b", "d", "e"]
    printed = np.array([0, 1, 3, 4])
    for row, out in zip(found.table.itertuples(), printed, strict=True):
        others = printed[printed != out]
        mean, sd, p_positive, tau = by_grid(VALUES[others], np.diag(ERRORS[others] ** 2), np.ones((3, 1)))
        assert (row.mean, row.sd, row.p_positive) == pytest.approx((mean, sd, p_positive), abs=1e-7)
        assert row.tau_mean == pytest.approx(tau, abs=1e-5)
        assert row.ci_low < row.mean < row.ci_high


def test_moderators_and_covariances_lose_the_same_row():
    rng = np.random.default_rng(1)
    root = rng.normal(0, 0.2, (4, 6))
    covariance = root @ root.T
    moderators = rng.normal(0, 1, (5, 1))
    moderators -= moderators[[0, 1, 3, 4]].mean()
    errors = np.full(5, math.nan)
    errors[[0, 1, 3, 4]] = np.sqrt(np.diagonal(covariance))
    rows = Estimates(
        tuple("abcde"),
        VALUES,
        tuple(None if math.isnan(s) else KnownError(float(s), "") for s in errors),
        Terms(("x",), moderators, covariance),
    )
    table = leave_one_out(rows, MODEL).table
    kept, others = np.array([0, 1, 3]), np.array([0, 1, 3])
    columns = np.hstack([np.ones((3, 1)), moderators[others]])
    mean, sd, p_positive, _ = by_grid(VALUES[others], covariance[np.ix_([0, 1, 2], [0, 1, 2])], columns)
    last = table.iloc[3]
    assert last["label"] == "e"
    assert len(kept) == 3
    assert (last["mean"], last["sd"], last["p_positive"]) == pytest.approx((mean, sd, p_positive), abs=1e-6)


def test_of_one_estimate_none_is_left():
    assert leave_one_out(Estimates(("a",), VALUES[:1], (KnownError(0.1, ""),)), MODEL).table.empty


def test_what_cannot_be_said_without_a_row_has_a_reason(monkeypatch):
    """A moderator that only one group has says nothing without it; and a fit that misses its gate is left out."""
    terms = Terms(("x",), np.array([[0.75], [-0.25], [0.0], [-0.25], [-0.25]]))
    found = leave_one_out(Estimates(ROWS.labels, ROWS.values, ROWS.errors, terms), MODEL)
    assert list(found.missing) == ["a"]
    assert found.table["mean"].isna().tolist() == [True, False, False, False]

    def missed(*_):
        raise GateError("the quadrature changed")

    monkeypatch.setattr(module, "fit_summary", missed)
    assert leave_one_out(ROWS, MODEL).missing == dict.fromkeys("abde", "the quadrature changed")
