"""Coefficients in coordinates that part them are those of the dense normal distribution, at every scale."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import splu

from cbec_bayes.bayes.likelihood import conditional as module
from cbec_bayes.bayes.likelihood.conditional import DenseConditional, FlatGivenPooled, SeparatedConditional
from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.model.blocks import coefficient_names, make_blocks
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import TwoWay
from cbec_bayes.runtime.labels import Origin
from tests.support.members import MEMBERS, panel


def collapsed_of(name: str, model: str):
    member = MEMBERS.get(model) or MEMBERS["partial_pooling"]
    return make_collapsed(make_blocks(panel(name), member))


@pytest.mark.parametrize("name", ["balanced", "unbalanced", "public", "paper"])
def test_separated_is_dense(name):
    collapsed = collapsed_of(name, "partial_pooling")
    rng = np.random.default_rng(1)
    points = rng.normal(-1, 1.5, (12, len(collapsed.names)))
    points[0, -1] = -12.0  # no variation between groups
    loadings = rng.normal(size=(7, collapsed.n_coefficients))
    (found,) = collapsed.conditionals(points)
    assert isinstance(found, SeparatedConditional)
    dense = collapsed.conditional(points)
    for one, two in zip(found.linear(loadings), dense.linear(loadings), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-7, atol=1e-8 * np.abs(two).max())
    one, two = (way.covariance(loadings, loadings[0]) for way in (found, dense))
    np.testing.assert_allclose(one, two, rtol=1e-7, atol=1e-8 * np.abs(two).max())
    np.testing.assert_allclose(one[:, 0], found.linear(loadings)[1][:, 0])


def test_draws_have_the_mean_and_the_covariance():
    collapsed = collapsed_of("unbalanced", "partial_pooling")
    point = np.array([[-0.7, -0.9]])
    (found,) = collapsed.conditionals(np.repeat(point, 40_000, axis=0))
    draws = found.draw(np.random.default_rng(3))
    exact = collapsed.conditional(point)
    covariance = exact.root[0] @ exact.root[0].T
    error = np.sqrt(np.diag(covariance) / len(draws))
    assert (np.abs(draws.mean(axis=0) - exact.mean[0]) < 5 * error).all()
    size = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    assert (np.abs(np.cov(draws.T) - covariance) < 6 * size * np.sqrt(2 / len(draws))).all()


@pytest.mark.parametrize("model", list(MEMBERS))
def test_parts_are_the_whole(model, monkeypatch):
    collapsed = collapsed_of("balanced", model)
    points = np.random.default_rng(1).normal(-0.5, 0.5, (9, len(collapsed.names)))
    loadings = np.eye(collapsed.n_conditional)
    once = collapsed.linear(points, loadings)
    monkeypatch.setattr(module, "_CHUNK", 2 * collapsed.n_conditional**2)
    for one, two in zip(once, collapsed.linear(points, loadings), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-12)
    parts = [part.mean for part in collapsed.conditionals(points) if isinstance(part, DenseConditional)]
    mean = np.concatenate(parts or [once[0]])
    np.testing.assert_allclose(mean, once[0], rtol=1e-9, atol=1e-10)


def test_what_pooled_coefficients_take_from_flat_ones():
    """By hand, of columns that are not orthogonal: flat = mean - pull pooled + noise, pooled = vectors coordinates."""
    rng = np.random.default_rng(5)
    f, q, n = 2, 3, 60_000
    vectors = np.linalg.qr(rng.normal(size=(q, q)))[0]
    pull, root, transform = rng.normal(size=(f, q)), rng.normal(size=(f, f)), rng.normal(size=(f + q, f + q))
    middle, spread = rng.normal(size=q), rng.uniform(0.5, 1, size=q)
    one = SeparatedConditional(
        flat=FlatGivenPooled(mean=rng.normal(size=f), root=root, pull=pull),
        vectors=vectors,
        middle=np.tile(middle, (n, 1)),
        spread=np.tile(spread, (n, 1)),
        sigma=np.full(n, 0.7),
        transform=transform,
    )
    to_both = np.vstack([-pull @ vectors, vectors])  # from coordinates to flat and pooled coefficients
    mean = transform @ (np.r_[one.flat.mean, np.zeros(q)] + to_both @ middle)
    noise = np.zeros((f + q, f + q))
    noise[:f, :f] = 0.49 * root @ root.T
    covariance = transform @ (noise + to_both @ np.diag(spread**2) @ to_both.T) @ transform.T
    loadings = rng.normal(size=(4, f + q))
    found, variance = one.linear(loadings)
    np.testing.assert_allclose(found[0], loadings @ mean)
    np.testing.assert_allclose(variance[0], np.diag(loadings @ covariance @ loadings.T))
    np.testing.assert_allclose(one.covariance(loadings, loadings[1])[0], loadings @ covariance @ loadings[1])
    draws = one.draw(rng)
    size = np.sqrt(np.diag(covariance))
    assert (np.abs(draws.mean(axis=0) - mean) < 5 * size / np.sqrt(n)).all()
    assert (np.abs(np.cov(draws.T) - covariance) < 6 * np.outer(size, size) * np.sqrt(2 / n)).all()


def test_a_thousand_groups_a_hundred_periods_and_many_controls():
    """Slopes at given scales solve Henderson's mixed-model equations, sparse and written out."""
    rng = np.random.default_rng(7)
    n_units, n_times, n_groups, k = 2_000, 100, 1_000, 20
    unit, time = np.repeat(np.arange(n_units), n_times), np.tile(np.arange(n_times), n_units)
    seen = rng.random(len(unit)) < 0.12
    unit, time = np.unique(unit[seen], return_inverse=True)[1], time[seen]
    group = unit % n_groups
    x = rng.standard_normal((len(unit), 1 + k)) + rng.standard_normal((n_units, 1 + k))[unit]
    slope = 1 + 0.5 * rng.standard_normal(n_groups)
    y = x[:, 0] * slope[group] + x[:, 1:] @ rng.standard_normal(k) + rng.standard_normal(len(unit)) + unit / 100
    names = tuple(f"g{r}" for r in range(n_groups))
    terms = ("d", *(f"x{j}" for j in range(k)))
    effects, units = TwoWay(unit, time), tuple(f"u{i}" for i in range(n_units))
    design = Design(
        outcome="y",
        terms=terms,
        y=y,
        x=x,
        unit=unit,
        time=time,
        group=group,
        units=units,
        times=tuple(range(n_times)),
        groups=names,
        effects=effects,
        origin=Origin.SIMULATED,
    )
    blocks = make_blocks(design, load_panel_model("partial_pooling"))
    assert blocks.moments is not None  # nothing was laid out
    collapsed = make_collapsed(blocks)
    sigma, tau = 0.9, 0.4
    labels = coefficient_names(blocks)
    loadings = np.zeros((n_groups, collapsed.n_coefficients))
    loadings[:, labels.index("slope")] = 1
    loadings[np.arange(n_groups), [labels.index(f"group_slope[{name}]") for name in names]] = 1
    mean, variance = collapsed.linear(np.log([[sigma, tau]]), loadings)

    def coded(values, code, width):
        return sparse.csr_array((values, (np.arange(len(code)), code)), shape=(len(code), width))

    ones = np.ones(len(unit))
    z = sparse.hstack(
        [
            x[:, :1],
            x[:, 1:],
            coded(ones, unit, n_units),
            coded(ones, time, n_times)[:, 1:],
            coded(x[:, 0], group, n_groups),
        ],
        format="csc",
    )
    penalty = np.zeros(z.shape[1])
    penalty[-n_groups:] = (sigma / tau) ** 2
    solve = splu((z.T @ z + sparse.diags_array(penalty)).tocsc())
    found = solve.solve(z.T @ y)
    np.testing.assert_allclose(mean[0], found[0] + found[-n_groups:], rtol=1e-8)
    for r in (0, 500, 999):
        load = np.zeros(z.shape[1])
        load[0], load[r - n_groups] = 1, 1
        assert variance[0, r] == pytest.approx(sigma**2 * load @ solve.solve(load), rel=1e-8)
