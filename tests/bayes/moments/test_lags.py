"""AR(1) errors, collapsed: the dense restricted likelihood, its derivatives, and effects, on panels with gaps."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.model.blocks import make_blocks
from cbec_bayes.bayes.model.densities import start
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.posterior import linear_predictor, pointwise
from cbec_bayes.panel.within import TwoWay
from cbec_bayes.runtime.errors import InputError
from tests.support.regressions import random_design
from tests.support.twins import with_unit_effects


def grouped(share: float):
    """Nine units in three groups, six periods, a share of the rows missing."""
    design = random_design(3, 9, 6, share=share)
    group = (design.unit % 3).astype(np.intp)
    return dataclasses.replace(design, group=group, groups=("a", "b", "c"))


def model(unit_effect: str):
    found = load_panel_model("ar1")
    if unit_effect == "fixed":
        return found
    priors = {**found.priors, "sigma_mu": Prior("half_normal", {"scale": 2.0})}
    return dataclasses.replace(found.choosing(unit_effect=unit_effect), priors=priors)


def dense(design, blocks, sigma, tau, rho, sigma_mu):
    when = np.asarray(design.times)[design.time]
    same = design.unit[:, None] == design.unit
    v = np.where(same, sigma**2 / (1 - rho**2) * rho ** np.abs(when[:, None] - when), 0.0)
    v = v + tau**2 * blocks.pooled[0].columns @ blocks.pooled[0].columns.T
    flat = blocks
    if sigma_mu is None:
        flat = with_unit_effects(blocks)
    else:
        v = v + sigma_mu**2 * same
    x = np.column_stack([block.columns[:, list(block.kept)] for block in flat.flat])
    root = np.linalg.cholesky(v)
    q, r = np.linalg.qr(np.linalg.solve(root, x))
    y = np.linalg.solve(root, design.y)
    left = y - q @ (q.T @ y)
    log_det = 2 * np.log(np.diag(root)).sum() + 2 * np.log(np.abs(np.diag(r))).sum()
    return -((len(y) - x.shape[1]) * np.log(2 * np.pi) + log_det + left @ left) / 2


@pytest.mark.parametrize("share", [1.0, 0.75])
@pytest.mark.parametrize("unit_effect", ["fixed", "random"])
@pytest.mark.parametrize("rho", [-0.4, 0.0, 0.3, 0.9])
def test_the_density_is_the_dense_one(share, unit_effect, rho):
    design = grouped(share)
    blocks = make_blocks(design, model(unit_effect))
    engine = make_collapsed(blocks)
    values = {"sigma": 0.7, "tau": 0.4, "rho": rho, "sigma_mu": 1.3}
    point = np.array([np.arctanh(values[n]) if n == "rho" else np.log(values[n]) for n in engine.names])
    mu = values["sigma_mu"] if unit_effect == "random" else None
    expected = dense(design, blocks, values["sigma"], values["tau"], rho, mu)
    assert engine.log_likelihood(point[None])[0] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("unit_effect", ["fixed", "random"])
def test_the_gradient(unit_effect):
    engine = make_collapsed(make_blocks(grouped(0.75), model(unit_effect)))
    rng = np.random.default_rng(0)
    for _ in range(5):
        point = 0.4 * rng.normal(size=len(engine.names))
        value, slope = engine.gradient(point)
        assert value == pytest.approx(engine.log_posterior(point[None])[0], rel=1e-9)
        h = 1e-5
        numeric = [
            (engine.log_posterior((point + h * e)[None])[0] - engine.log_posterior((point - h * e)[None])[0]) / (2 * h)
            for e in np.eye(len(point))
        ]
        np.testing.assert_allclose(slope, numeric, rtol=1e-6, atol=1e-5)


def test_points_that_do_not_count():
    """A correlation that rounds to one, and a scale that its prior all but excludes beside one that it does not."""
    engine = make_collapsed(make_blocks(grouped(0.75), model("random")))
    begin = engine.start()
    assert {name: value[0] for name, value in engine.scales(begin[None]).items()} == pytest.approx(
        {name: 0.3 if name == "rho" else start(engine.priors[name]) for name in engine.names}
    )
    one, unlikely = begin.copy(), begin.copy()
    one[engine.names.index("rho")] = 30.0
    unlikely[engine.names.index("sigma_mu")] = 8.0  # some hundred standard deviations
    found = engine.log_posterior(np.stack([begin, one, unlikely, -one]))
    np.testing.assert_array_equal(np.isfinite(found), [True, False, False, False])
    assert set(found[1:]) == {-np.inf}
    assert np.isfinite(engine.log_posterior(unlikely[None]))  # nothing to be less likely than
    for point in (one, -one):
        value, slope = engine.gradient(point)
        assert value == -np.inf
        np.testing.assert_array_equal(slope, np.zeros(len(point)))


def test_no_correlation_is_the_plain_model():
    design = grouped(0.8)
    plain = make_collapsed(make_blocks(design, load_panel_model("partial_pooling")))
    lagged = make_collapsed(make_blocks(design, model("fixed")))
    scales = {"sigma": np.log(0.6), "tau": np.log(0.3), "rho": 0.0}
    a = plain.log_likelihood(np.array([[scales[n] for n in plain.names]]))[0]
    b = lagged.log_likelihood(np.array([[scales[n] for n in lagged.names]]))[0]
    assert b == pytest.approx(a, rel=1e-11)


def test_pointwise_densities_add_up():
    """Row given the row before: their sum over a unit is its joint normal density."""
    design = grouped(0.75)
    blocks = make_blocks(design, model("fixed"))
    engine = make_collapsed(blocks)
    rng = np.random.default_rng(1)
    effects = {block.name: 0.3 * rng.normal(size=(1, *block.shape)) for block in with_unit_effects(blocks).every}
    mean = linear_predictor(blocks, effects)
    values = {"sigma": np.log(0.7), "tau": 0.0, "rho": np.arctanh(0.5)}
    point = np.array([[values[n] for n in engine.names]])
    found = pointwise(blocks, engine, point, effects)[0]
    when = np.asarray(design.times)[design.time]
    for unit in range(len(design.units)):
        rows = np.flatnonzero(design.unit == unit)
        cov = 0.49 / 0.75 * 0.5 ** np.abs(when[rows][:, None] - when[rows])
        joint = multivariate_normal(mean[0, rows], cov).logpdf(design.y[rows])
        assert found[rows].sum() == pytest.approx(joint, rel=1e-10)


def test_a_fit_finds_the_correlation():
    rng = np.random.default_rng(5)
    design = grouped(1.0)
    units, periods = 60, 12
    unit, time = np.repeat(np.arange(units), periods), np.tile(np.arange(periods), units)
    error = np.empty((units, periods))
    error[:, 0] = rng.normal(size=units)
    for t in range(1, periods):
        error[:, t] = 0.6 * error[:, t - 1] + 0.8 * rng.normal(size=units)
    x = rng.normal(size=(units * periods, 2))
    y = x @ [0.5, -0.2] + rng.normal(size=units)[unit] + error.ravel()
    design = dataclasses.replace(
        design,
        y=y,
        x=x,
        terms=("x0", "x1"),
        unit=unit,
        time=time,
        group=(unit % 3).astype(np.intp),
        units=tuple(f"u{i}" for i in range(units)),
        times=tuple(float(t) for t in range(periods)),
        effects=TwoWay(unit, time),
    )
    found = fit(design, "ar1", draws=250)
    found.diagnostics.require()
    rho = found.tree["posterior"]["rho"].to_numpy()
    assert abs(rho.mean() - 0.6) < 4 * rho.std()
    assert rho.std() < 0.1


def test_periods_that_are_not_whole_are_refused():
    design = grouped(1.0)
    design = dataclasses.replace(design, times=tuple(t + 0.5 * k for k, t in enumerate(design.times)))
    with pytest.raises(InputError, match="whole numbers"):
        make_collapsed(make_blocks(design, model("fixed")))
