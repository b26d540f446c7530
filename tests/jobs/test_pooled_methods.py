"""The paragraph on methods says of every kind of pooling what was done there, and nothing that another kind does."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.jobs.pooled_methods import has_t_likelihood, methods_sentences, name_of_tau
from cbec_bayes.jobs.pooled_report import own_estimates
from cbec_bayes.published.between_shape import NORMAL, BetweenShape
from cbec_bayes.published.estimates import Estimates, ImpliedError, KnownError
from cbec_bayes.published.summary_model import RobustModel, SummaryModel
from cbec_bayes.published.terms import Terms

INF = math.inf
HALF = Prior("half_normal", {"scale": 0.5})
PLAIN = SummaryModel("m", "", Prior("flat", {}), HALF, 1.0)
T4 = RobustModel("m", "", PLAIN.slope, HALF, 1.0, shape=BetweenShape("student_t", {"df": 4.0}))
TWO = RobustModel("m", "", PLAIN.slope, HALF, 1.0, shape=BetweenShape("two_normals", {"share": 0.1, "ratio": 5.0}))
ASKED = {"engine": "quadrature", "cluster": None, "correlation": None}


def data(dfs, terms: Terms | None = None) -> Estimates:
    errors = tuple(KnownError(0.1, "", df) for df in dfs)
    return Estimates(tuple("abc"), np.array([0.5, 0.3, 0.2]), errors, terms=terms)


def text(estimates: Estimates, model: SummaryModel = PLAIN, **asked) -> str:
    return " ".join(methods_sentences(estimates, model, {**ASKED, **asked}))


NORMAL_ROWS, T_ROWS = data([INF] * 3), data([4.0] * 3)
MODERATED = data([INF] * 3, Terms(("lat",), np.array([[-1.0], [0.0], [1.0]])))
JOINT = data([INF] * 3, Terms((), np.zeros((3, 0)), np.diag([0.01] * 3)))
FOR_NORMAL = "They take every estimate, and slopes between groups, for normal."


@pytest.mark.parametrize(
    ("found", "there", "not_there"),
    [
        (
            text(NORMAL_ROWS),
            ["Each estimate is normal", "are normal about a common one, β, with standard deviation τ."],
            ["Student", FOR_NORMAL, "scale τ", "PyMC"],
        ),
        (
            text(T_ROWS),
            ["Each estimate follows Student's t", "Slopes of groups are normal about a common one", FOR_NORMAL],
            ["estimate is normal"],
        ),
        (text(data([4.0, INF, INF])), ["follows Student's t", "one without them is normal"], ["Each estimate"]),
        (
            text(NORMAL_ROWS, T4),
            ["Each estimate is normal", "Slopes of groups follow Student's t", "ν = 4 and scale τ", FOR_NORMAL],
            ["slopes of groups are normal", "standard deviation τ"],
        ),
        (
            text(NORMAL_ROWS, TWO),
            ["with standard deviation τ, or with probability 0.1 with standard deviation 5 τ", FOR_NORMAL],
            ["Student"],
        ),
        (
            text(MODERATED),
            ["about what lat predicts with standard deviation τ", "flat for the change with lat", "coefficients, 1."],
            ["a common one", "covariance"],
        ),
        (text(JOINT), ["jointly normal", "the covariance that is stated"], ["Each estimate", "correlation"]),
        (text(JOINT, cluster="team", correlation=0.5), ["the correlation 0.5 within a cluster"], ["is stated"]),
        (text(NORMAL_ROWS, engine="pymc"), ["sampled with PyMC"], ["quadrature"]),
        (
            text(NORMAL_ROWS, replace(PLAIN, between=Prior("fixed", {"value": 0.2}))),
            ["τ = 0.2, which is held"],
            ["as wide as τ", "τ ~"],
        ),
        (
            text(NORMAL_ROWS, replace(PLAIN, between=Prior("fixed", {"value": 0.0}))),
            ["All groups have the same slope β."],
            ["standard deviation τ"],
        ),
    ],
    ids=["normal", "t", "some-t", "t-between", "two", "moderator", "joint", "cluster", "pymc", "held", "zero"],
)  # fmt: skip
def test_the_sentences_are_those_of_what_was_done(found, there, not_there):
    for one in there:
        assert one in found
    for one in not_there:
        assert one not in found


def test_standard_errors_of_stars_are_said_to_be_integrated_over():
    errors = (KnownError(0.1, ""), ImpliedError(0.5, 1.8, 2.3, 9.0))
    found = text(Estimates(("a", "b"), np.array([0.5, 0.3]), errors))
    assert "A standard error that is known by its stars alone is integrated over" in found


def test_one_estimate_has_no_classical_sentences():
    assert "Knapp" not in text(Estimates(("a",), np.array([0.5]), (KnownError(0.1, ""),)))


def test_tau_is_a_standard_deviation_of_normal_slopes_alone():
    assert name_of_tau(NORMAL) == "standard deviation"
    assert name_of_tau(BetweenShape("student_t", {"df": 4.0})) == "scale"
    assert has_t_likelihood(T_ROWS)
    assert not has_t_likelihood(NORMAL_ROWS)


def test_intervals_as_given_have_the_quantiles_of_their_degrees_of_freedom():
    own = own_estimates(data([2.0, INF, 10.0]))
    np.testing.assert_allclose((own["high"] - own["estimate"]) / own["se"], [4.302653, 1.959964, 2.228139], rtol=1e-6)
