"""Clusters other than the units: pyfixest's numbers, and the methods for few clusters written out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pyfixest
import pytest
from pyfixest.demeaners import MapDemeaner

from cbec_bayes.classical.batch import prepare
from cbec_bayes.classical.equal_slopes import EqualityOptions, equality_rows
from cbec_bayes.classical.few import few_clusters
from cbec_bayes.classical.fewbatch import draw_weights, prepare_few
from cbec_bayes.classical.fits import quiet
from cbec_bayes.classical.group_slopes import group_slopes
from cbec_bayes.classical.regression import twfe
from cbec_bayes.classical.transformed import regress
from cbec_bayes.panel import Roles, make_panel
from cbec_bayes.panel.design import Design, make_design
from cbec_bayes.panel.formula import read_formula
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import InputError

ROLES = Roles(outcome="y", exposure="x", controls=("z",), unit="firm", time="year", group="region")
CLUSTERS = [("state",), ("year",), ("market",), ("firm", "year"), ("state", "year"), ("firm", "market")]
EXACT = 1e-8


def rows(name: str) -> pd.DataFrame:
    """Forty firms of ten states, and markets that firms change; errors that hang together within states and years."""
    rng = np.random.default_rng(2)
    firm, year = np.divmod(np.arange(320), 8)
    state = firm % 10
    market = (firm + year // 3) % 7
    x = rng.normal(size=320) + rng.normal(size=10)[state]
    shock = rng.normal(size=(10, 8))[state, year]
    y = 0.4 * x + shock + 0.5 * rng.normal(size=8)[year] + rng.normal(size=320)
    found = pd.DataFrame({"firm": [f"f{i:02d}" for i in firm], "year": 2000 + year, "x": x, "y": y})
    found = found.assign(z=rng.normal(size=320), state=[f"s{s}" for s in state], market=[f"m{m}" for m in market])
    found = found.assign(region=np.where(state < 6, "east", "west"), w=rng.gamma(2.0, size=320))
    return found if name == "balanced" else found.sample(frac=0.8, random_state=3).sort_index()


def design_of(name: str, *clusters: str, weights: str | None = None) -> Design:
    return make_design(make_panel(rows(name), replace(ROLES, clusters=clusters, weights=weights)))


@pytest.mark.parametrize("directly", [False, True])
@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.parametrize("clusters", CLUSTERS, ids="+".join)
@pytest.mark.parametrize("name", ["balanced", "unbalanced"])
def test_numbers_are_those_of_pyfixest(name, clusters, weights, directly):
    found = twfe(design_of(name, *clusters, weights=weights), ssc="fixest", directly=directly)
    with quiet():
        expected = pyfixest.feols(
            "y ~ x + z | firm + year",
            data=rows(name),
            vcov={"CRV1": "+".join(clusters)},
            ssc=pyfixest.ssc(k_adj=True, k_fixef="nonnested", G_adj=True, G_df="min"),
            fixef_rm="none",
            demeaner=MapDemeaner(fixef_tol=1e-13, fixef_maxiter=100_000),
            **({"weights": weights} if weights else {}),
        )
    np.testing.assert_allclose(found.se, expected.se(), rtol=EXACT)
    np.testing.assert_allclose(found.p, expected.pvalue(), rtol=EXACT)
    assert found.df == found.n_clusters - 1 == expected._df_t
    assert found.clusters == clusters
    batch = prepare(design_of(name, *clusters, weights=weights), ssc="fixest")
    fit = batch.fit(design_of(name).y[None])
    np.testing.assert_allclose(fit.se[0], found.se, rtol=EXACT)
    assert fit.constant_se[0] == pytest.approx(found.constant_se, rel=EXACT, nan_ok=True)


def laid_out(design: Design) -> tuple[Array, Array]:
    own = design.unit[:, None] == np.arange(len(design.units))
    columns = np.column_stack([design.x, own, design.time[:, None] == np.arange(1, len(design.times))])
    return design.y * design.root, columns * design.root[:, None]


@pytest.mark.parametrize("clusters", [(), *CLUSTERS], ids="+".join)
def test_the_constant_has_the_error_of_the_mean_of_all_effects(clusters):
    design = design_of("unbalanced", *clusters, weights="w")
    y, x = laid_out(design)
    q, r = np.linalg.qr(x)
    theta, residual = np.linalg.solve(r, q.T @ y), y - q @ (q.T @ y)
    mean_row = (design.root @ x) / (design.root @ design.root)
    mean_row[:2] = 0.0
    own = np.linalg.solve(r, (q * residual[:, None]).T)
    sets = [one.codes for one in design.clusters] or [design.unit]
    parts = [(1, codes) for codes in sets] + ([(-1, np.arange(design.n_obs))] if clusters == ("firm", "year") else [])
    if len(sets) == 2 and clusters != ("firm", "year"):
        parts.append((-1, np.unique(np.column_stack(sets), axis=0, return_inverse=True)[1].ravel()))
    variance = sum(sign * (np.bincount(codes, mean_row @ own) ** 2).sum() for sign, codes in parts)
    found = twfe(design, ssc="plm")  # without a factor
    assert found.constant == pytest.approx(mean_row @ theta, rel=EXACT)
    assert found.constant_se == pytest.approx(np.sqrt(variance) if variance > 0 else np.nan, rel=1e-7, nan_ok=True)


@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.parametrize("name", ["balanced", "unbalanced"])
def test_methods_for_few_clusters_are_those_of_states(name, weights):
    design = design_of(name, "state", weights=weights)
    (clusters,) = design.clusters
    y, x = laid_out(design)
    found = few_clusters(design, replications=199)
    q, r = np.linalg.qr(x)
    residual, back = y - q @ (q.T @ y), np.linalg.inv(r)
    scores, slopes = [], []
    for code in range(clusters.size):
        own = clusters.codes == code
        values, vectors = np.linalg.eigh(np.eye(own.sum()) - q[own] @ q[own].T)
        root = np.where(values > 1e-10, 1 / np.sqrt(np.maximum(values, 1e-10)), 0.0)
        scores.append(back @ (q[own].T @ ((vectors * root) @ (vectors.T @ residual[own]))))
        slopes.append(np.linalg.lstsq(x[~own], y[~own])[0][:2])
    np.testing.assert_allclose(found.cr2_se, np.linalg.norm(scores, axis=0)[:2], rtol=EXACT)
    left, n = np.array(slopes) - found.regression.estimate, clusters.size
    np.testing.assert_allclose(found.crv3_se, np.sqrt((n - 1) / n * (left**2).sum(axis=0)), rtol=EXACT)
    np.testing.assert_allclose(regress(design, "levels").cr2_se, found.cr2_se, rtol=EXACT)
    assert found.frame()["df"].max() <= n - 1
    draws = draw_weights(n, 199, 3)
    restricted = x[:, 1:] @ np.linalg.lstsq(x[:, 1:], y)[0]
    q, r = np.linalg.qr(x[:, ::-1])

    def statistic(outcome: Array) -> float:
        score = np.bincount(clusters.codes, q[:, -1] * (outcome - q @ (q.T @ outcome)))
        return abs(q[:, -1] @ outcome) / float(np.sqrt(score @ score))

    every = np.array([statistic(restricted + (y - restricted) * one[clusters.codes]) for one in draws.T])
    p = prepare_few(design).wild_p(design.y[None], 0, 0.0, 199, 3)[0]
    assert p == pytest.approx(np.mean(every > statistic(y) * (1 + 1e-9)), abs=1e-12)


def test_clusters_that_are_the_units_are_none():
    assert design_of("balanced", "firm").clusters == ()


@pytest.mark.parametrize("clusters", [("year",), ("market",), ("firm", "year")], ids="+".join)
def test_what_needs_nested_units_is_blank_or_says_so(clusters):
    design = design_of("unbalanced", *clusters)
    found = few_clusters(design)
    assert np.isfinite(found.regression.se).all()
    for blank in (found.cr2_se, found.crv3_se, found.wild_p, found.wild_interval):
        assert np.isnan(blank).all()
    assert np.isnan(regress(design, "levels").cr2_se).all()
    notes = [row.get("note", "") for row in equality_rows(design)]
    assert all("needs one set of clusters in which units are nested" in note for note in notes)


def test_slopes_of_groups_are_compared_by_states():
    design = design_of("unbalanced", "state")
    slopes = group_slopes(design, "common")
    assert slopes.n_clusters == 10
    east = design.x[:, 0] * (design.group == 0)
    more = design.with_regressors(("d", "x", "z"), np.column_stack([east, design.x]))
    found = few_clusters(more, bootstrapped=())
    gap = slopes.estimate[0] - slopes.estimate[1]
    contrast = np.array([1.0, -1.0])
    assert gap == pytest.approx(found.regression.estimate[0], rel=EXACT)
    assert contrast @ slopes.covariance @ contrast == pytest.approx(found.cr2_se[0] ** 2, rel=EXACT)
    options = EqualityOptions(replications=199, permutations=99, pair_permutations=99)
    by_test = {row["test"]: row for row in equality_rows(design, options)}
    assert np.isfinite(by_test["wald"]["p"])
    assert np.isfinite(by_test["wild_bootstrap"]["p"])
    assert "correlated within state" in by_test["permutation"]["note"]


def test_a_group_alone_has_its_own_clusters():
    found = twfe(design_of("balanced", "state").of_group("west"))
    assert found.n_clusters == 4
    with pytest.raises(InputError, match="there is one of region"):
        twfe(design_of("balanced", "region").of_group("west"))


def test_columns_of_clusters_are_read_as_names():
    frame = rows("balanced").astype({"state": object})
    frame.loc[frame.index[3], "state"] = None
    found = make_panel(frame, replace(ROLES, clusters=("state",)))
    assert found.n_obs == len(frame) - 1
    assert found.ledger["reason"].iloc[0] == "cluster 'state' is missing"
    assert any("clustered by state; the posterior takes errors" in note for note in found.notes)
    formula = replace(read_formula("y ~ x + z | firm + year"), clusters=("state", "year"))
    assert [one.size for one in make_design(make_panel(rows("balanced"), formula)).clusters] == [10, 8]


def test_clusters_are_of_one_column_or_two():
    with pytest.raises(InputError, match="by one column or by two"):
        replace(ROLES, clusters=("state", "year", "market"))
    with pytest.raises(InputError, match="given twice"):
        replace(ROLES, clusters=("state", "state"))
    with pytest.raises(InputError, match="given as control and as cluster"):
        replace(ROLES, clusters=("z",))
