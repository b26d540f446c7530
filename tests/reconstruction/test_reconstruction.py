"""Reconstructed panels print what was printed: derivatives exact, cells met, members distinct, origins said."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cbec_bayes.classical.conventions import CONVENTIONS, convention
from cbec_bayes.classical.regression import twfe
from cbec_bayes.jobs.reconstruct import ensemble, ensemble_files, load_problem, reconstruct
from cbec_bayes.panel.study import load_study
from cbec_bayes.panel.within import TwoWay
from cbec_bayes.published.number import PrintedNumber
from cbec_bayes.published.printed import Coefficient
from cbec_bayes.reconstruction.system import cells, make_system
from cbec_bayes.reconstruction.targets import bounds, targets_of
from cbec_bayes.replication import paper_columns
from cbec_bayes.runtime.errors import InputError
from tests.support.studies import make_study


@pytest.fixture(scope="module")
def problem():
    return load_problem(load_study("paper"))


@pytest.fixture(scope="module")
def system(problem):
    return make_system(
        problem.design,
        targets_of(problem.paper, paper_columns(problem.paper, problem.design), problem.design),
        convention("reghdfe"),
    )


def random_point(system, seed):
    rng = np.random.default_rng(seed)
    return np.r_[rng.normal(1.3, 0.9, system.n_obs), rng.normal(2.1, 0.7, system.n_obs)]


@pytest.mark.parametrize("seed", range(3))
def test_derivatives_of_cells_are_differences(system, seed):
    """Every row of the Jacobian against central differences in random directions."""
    point = random_point(system, seed)
    direction = np.random.default_rng(seed + 9).normal(size=len(point))
    h = 1e-6
    ahead, behind = (system.residuals(point + s * h * direction)[0] for s in (1, -1))
    numeric = (ahead - behind) / (2 * h)
    found = system.residuals(point)[1] @ direction
    assert found == pytest.approx(numeric, rel=2e-6, abs=2e-6 * np.abs(numeric).max())


def test_cells_are_those_of_the_classical_module(problem, system):
    """The solver's cells, on unbalanced rows too, are the regression's: slopes, clustered errors, R2 and iid error."""
    rng = np.random.default_rng(3)
    design = problem.design
    for mask in (np.ones(design.n_obs, bool), rng.random(design.n_obs) > 0.2):
        part = design.rows(mask)
        x = part.x.copy()
        x[:, 0] = rng.normal(size=part.n_obs)
        part = dataclasses.replace(part, y=rng.normal(size=part.n_obs), x=x)
        fit = twfe(part)
        free = part.n_obs - len(part.terms) - part.effects.rank
        printed, independent = cells(
            part.y,
            x[:, 0],
            controls=part.effects.within(x[:, 1:]),
            within=part.effects.within(np.eye(part.n_obs)),
            cluster=part.unit,
            factor=CONVENTIONS["reghdfe"].factor(part.n_obs, len(part.terms), len(part.units), part.effects.rank),
            free=free,
        )
        estimates, errors, r2 = np.split(printed.value, [len(part.terms), 2 * len(part.terms)])
        assert estimates == pytest.approx(fit.estimate, rel=1e-9)
        assert errors == pytest.approx(fit.se, rel=1e-9)
        assert r2 == pytest.approx(fit.r2, rel=1e-12)
        within = part.effects.within(x)
        iid = np.sqrt(fit.rss / free * np.linalg.inv(within.T @ within)[0, 0])
        assert independent.value == pytest.approx(iid, rel=1e-9)


def test_targets_agree_with_the_stars(problem):
    """Whatever is drawn within rounding, target over target earns the printed stars."""
    columns = paper_columns(problem.paper, problem.design)
    for rng in (None, *(np.random.default_rng(seed) for seed in range(40))):
        for column in targets_of(problem.paper, columns, problem.design, rng).columns:
            df = {"East": 9, "Central": 5, "West": 10}.get(column.spec.name, 29)
            for term, b, s in zip(column.spec.terms, column.estimate, column.se, strict=True):
                cell: Coefficient = problem.paper.columns[column.spec.key].coefficients[term]
                low, high = cell.estimate.interval.ends
                assert low <= b.value - b.half_width + 1e-12 or b.half_width < (high - low) / 2
                assert low <= b.value <= high
                p = 2 * stats.t.sf(abs(b.value) / s.value, df)
                earned = "***" if p < 0.01 else "**" if p < 0.05 else "*" if p < 0.1 else ""
                assert earned == cell.stars, (column.spec.key, term, p)


def test_bounds_pin_the_extremes(problem):
    targets = targets_of(problem.paper, paper_columns(problem.paper, problem.design), problem.design)
    proxy = np.random.default_rng(0).normal(size=50)
    low, high = bounds(targets.outcome, proxy)
    assert high[proxy.argmin()] == low[proxy.argmin()] == 0.14
    assert high[proxy.argmax()] == low[proxy.argmax()] == 3.95
    assert (low <= high).all()


def test_members_meet_the_papers_cells_and_differ(problem):
    found = ensemble(problem, 2, seed=2)
    for member in found:
        assert member.replication.counts() == {"yes": 90, "rounding": 1, "no": 4}
        assert member.worst < 1
        frame = member.replication.frame()
        assert set(frame[frame["quantity"] == "stars"]["match"]) <= {"yes", "no"}
        stars = frame[(frame["quantity"] == "stars") & (frame["term"] != "constant")]
        assert set(stars["match"]) == {"yes"}
        assert member.columns[["ci", "cbec"]].min().tolist() == [0.14, 0.18]
        assert member.columns[["ci", "cbec"]].max().tolist() == [3.95, 3.912]
    a, b = (member.columns for member in found)
    assert (a["cbec"] - b["cbec"]).abs().mean() > 0.05
    again = ensemble(problem, 1, seed=2)[0]
    pd.testing.assert_frame_equal(again.columns, a)
    files = ensemble_files(problem, found)
    assert list(files) == [
        "panels/cbec_circulation_1.csv",
        "panels/cbec_circulation_2.csv",
        "record.csv",
        "summary.csv",
    ]
    for name, text in files.items():
        header = text.splitlines()[0].split(",")
        assert "origin" in header, name


def test_another_paper_is_reconstructed(tmp_path):
    """Any printed table with observed controls: the rounded tables of a simulated panel are met, constants included."""
    study = make_study(tmp_path, seed=4)
    (tmp_path / "unknown.csv").unlink()
    found = reconstruct(load_problem(study), seed=1)
    frame = found.replication.frame()
    given = frame[frame["printed"].ne("") & frame["term"].ne("constant")]
    assert set(given["match"]) == {"yes"}
    assert found.columns["origin"].eq("reconstructed").all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"published": None}, "no printed tables or no panel"),
        ({"panel": None}, "no printed tables or no panel"),
        ({"proxies": {}}, "names no observed column that stands in for its outcome"),
        ({"proxies": {"outcome": ("near_y",), "exposure": ("far",)}}, "no such observed column"),
    ],
)
def test_what_cannot_be_reconstructed_is_said(tmp_path, change, message):
    study = make_study(tmp_path)
    if "proxies" in change:
        study = dataclasses.replace(study, panel=dataclasses.replace(study.panel, **change))
    else:
        study = dataclasses.replace(study, **change)
    with pytest.raises(InputError, match=message):
        load_problem(study)


def test_a_paper_without_moments_cannot_be_reconstructed(problem):
    moments = {key: row for key, row in problem.paper.moments.items() if key[1] != "ci"}
    with pytest.raises(InputError, match="must print mean, sd, minimum and maximum of 'ci'"):
        targets_of(dataclasses.replace(problem.paper, moments=moments), (), problem.design)


def test_a_large_panel_is_refused(problem):
    design = problem.design
    many = np.repeat(np.arange(design.n_obs), 20)
    unit, time = np.arange(len(many)) // 8, np.arange(len(many)) % 8
    big = dataclasses.replace(
        design, y=design.y[many], x=design.x[many], unit=unit, time=time, effects=TwoWay(unit, time)
    )
    with pytest.raises(InputError, match="more than the"):
        make_system(big, targets_of(problem.paper, paper_columns(problem.paper, design), design), convention("reghdfe"))


def test_printed_numbers_are_their_own_targets():
    assert PrintedNumber.parse("0.22").interval.ends == (0.215, 0.225)
