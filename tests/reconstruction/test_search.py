"""Targets of every reading, starting points, candidates and members: on small papers that are not the first case."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cbec_bayes.classical.conventions import convention
from cbec_bayes.classical.regression import twfe
from cbec_bayes.classical.tables import ColumnSpec
from cbec_bayes.commands.program import main
from cbec_bayes.jobs import reconstruct as job
from cbec_bayes.jobs.reconstruct import ensemble, ensemble_files, load_problem, reconstruct, summary_frame
from cbec_bayes.panel.study import load_study, read_study
from cbec_bayes.published.number import PrintedNumber
from cbec_bayes.published.printed import Coefficient, TableColumn
from cbec_bayes.reconstruction.solver import solve
from cbec_bayes.reconstruction.start import starts
from cbec_bayes.reconstruction.system import make_system
from cbec_bayes.reconstruction.targets import MomentTargets, Target, targets_of
from cbec_bayes.replication import paper_columns
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.fanout import SERIAL
from cbec_bayes.runtime.labels import Origin
from tests.support.studies import make_study

DF = 29


@functools.cache
def paper_design():
    """The observed controls of the 30 provinces."""
    return load_problem(load_study("paper")).design


def aimed(paper, estimate, parenthesis, stars, seed=None):
    """The targets of one cell in a column of the paper's 30 provinces: estimate, standard error."""
    number = None if parenthesis is None else PrintedNumber.parse(parenthesis)
    cell = Coefficient(
        table="9",
        column="a",
        term="cbec",
        label="cbec",
        estimate=PrintedNumber.parse(estimate),
        parenthesis=number,
        stars=stars,
    )
    column = TableColumn("9", "a", {"cbec": cell}, {}, {})
    spec = ColumnSpec("9", "a", ("cbec",), None, printed=True)
    rng = None if seed is None else np.random.default_rng(seed)
    columns = {**paper.columns, column.key: column}
    found = targets_of(dataclasses.replace(paper, columns=columns), [spec], paper_design(), rng).columns[0]
    assert found.r2 is None
    return found.estimate[0], found.se[0]


def p_of(estimate, se):
    return float(2 * stats.t.sf(abs(estimate / se), DF))


# Targets


def test_a_standard_error_is_its_own_target(paper):
    b, s = aimed(paper, "0.50", "0.10", "***")
    assert (b.value, s.value) == (0.5, 0.1)
    assert (b.half_width, s.half_width) == pytest.approx((0.005, 0.005))


def test_without_a_parenthesis_there_is_nothing_to_aim_at(paper):
    assert aimed(paper, "0.50", None, "***")[1] is None


def test_a_p_value_is_met_within_its_rounding(paper):
    for printed, stars in (("0.160", ""), ("0.040", "**")):  # as standard errors they would earn three
        b, s = aimed(paper, "0.500", printed, stars)
        assert p_of(b.value, s.value) == pytest.approx(float(printed))
        ends = [p_of(b.value, s.value + side * s.half_width) for side in (-0.9, 0.9)]
        assert ends == pytest.approx([float(printed) + side * 0.9 * 0.0005 for side in (-1, 1)], rel=1e-3)


def test_a_t_statistic_is_met_within_its_rounding(paper):
    b, s = aimed(paper, "0.500", "2.50", "**")
    assert b.value / s.value == pytest.approx(2.5)
    assert b.value / (s.value - 0.9 * s.half_width) == pytest.approx(2.5 + 0.9 * 0.005, rel=1e-4)
    b, s = aimed(paper, "-0.500", "-2.50", "**")
    assert (b.value < 0, s.value) == (True, pytest.approx(0.2))


@pytest.mark.parametrize(
    ("stars", "low", "high"), [("", 0.1, 1), ("*", 0.05, 0.1), ("**", 0.01, 0.05), ("***", 0, 0.01)]
)
def test_a_parenthesis_that_is_nothing_leaves_the_stars(paper, stars, low, high):
    """7.77 and 0.6 are neither standard error nor p-value nor t statistic of these stars."""
    parenthesis = "7.77" if stars == "" else "0.60"
    estimate = "99.00" if stars == "" else "0.50"
    b, s = aimed(paper, estimate, parenthesis, stars)
    assert p_of(b.value, s.value) == pytest.approx((low + high) / 2)
    assert s.half_width == pytest.approx(0.01 * s.value)
    drawn = [p_of(*(t.value for t in aimed(paper, estimate, parenthesis, stars, seed))) for seed in range(20)]
    assert len(set(np.round(drawn, 9))) == 20
    assert low < min(drawn) < low + 0.3 * (high - low)
    assert high - 0.3 * (high - low) < max(drawn) < high


def test_stars_that_only_rounding_allows_are_met_by_the_nearest_pair(paper):
    """0.20 over 0.10 is two, which earns one star; with two stars the pair moves, no further than it must."""
    b, s = aimed(paper, "0.20", "0.10", "**")
    assert 0.01 < p_of(b.value, s.value) < 0.05
    assert (b.half_width, s.half_width) == pytest.approx((0.0025 * b.value, 0.0025 * s.value))
    moved = (b.value - 0.2) ** 2 + (s.value - 0.1) ** 2
    assert 0 < moved < 0.003**2


def test_what_a_paper_must_say(paper):
    facts = dataclasses.replace(paper.facts, exposure=None)
    with pytest.raises(InputError, match="must name the terms of the outcome and the exposure"):
        targets_of(dataclasses.replace(paper, facts=facts), (), paper_design())


# The system


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files of a study whose unknown columns are not there."""
    folder = tmp_path_factory.mktemp("study")
    make_study(folder, seed=4)
    (folder / "unknown.csv").unlink()
    return folder


@pytest.fixture(scope="module")
def problem(folder):
    return load_problem(read_study(folder / "study.toml"))


def system_of(problem, paper=None):
    paper = problem.paper if paper is None else paper
    targets = targets_of(paper, paper_columns(paper, problem.design), problem.design)
    return make_system(problem.design, targets, convention(problem.spec.convention))


def test_the_exposure_comes_first(problem):
    columns = {
        key: dataclasses.replace(column, coefficients=dict(reversed(column.coefficients.items())))
        for key, column in problem.paper.columns.items()
    }
    with pytest.raises(InputError, match="'3: \\(2\\)' does not begin with the exposure 'd'"):
        system_of(problem, dataclasses.replace(problem.paper, columns=columns))


def test_what_is_not_printed_is_no_target(problem):
    """Without R2 and parentheses there are slopes and moments, and still a wish per column."""
    bare = {
        key: dataclasses.replace(
            column,
            coefficients={t: dataclasses.replace(c, parenthesis=None) for t, c in column.coefficients.items()},
            numbers={},
        )
        for key, column in problem.paper.columns.items()
    }
    point = np.random.default_rng(1).normal(size=2 * problem.design.n_obs)
    full, system = system_of(problem), system_of(problem, dataclasses.replace(problem.paper, columns=bare))
    assert len(full.residuals(point)[0]) == 4 + 7 + 7 + 4 + 4
    residuals, jacobian = system.residuals(point)
    assert len(residuals) == len(jacobian) == 4 + 7 + 4
    assert system.n_wishes == 4


def test_wishes_are_of_equal_standard_errors(problem):
    """The last residuals are ln(independent / clustered standard error) over 0.3."""
    system, design = system_of(problem), problem.design
    rng = np.random.default_rng(2)
    outcome, exposure = rng.normal(size=(2, design.n_obs))
    residuals, _ = system.residuals(np.r_[outcome, exposure])
    part = dataclasses.replace(design, y=outcome, x=exposure[:, None], terms=("d",), rounding=None)
    fit = twfe(part)
    within = part.effects.within(part.x)[:, 0]
    free = design.n_obs - 1 - part.effects.rank
    independent = np.sqrt(fit.rss / free / (within @ within))
    assert residuals[-4] == pytest.approx(np.log(independent / fit.se[0]) / 0.3)


# Starting points


def moments(mean, sd, low, high):
    return MomentTargets(Target(mean, 0.01), Target(sd, 0.01), low, high)


def test_starts_have_the_printed_moments_and_stay_within_the_range():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(200, 3)), columns=["a", "b", "c"])
    unit, group = np.repeat(np.arange(20), 10), np.repeat(np.arange(2), 100)
    wide = moments(3.0, 2.0, -99.0, 99.0), moments(1.0, 0.5, 0.5, 1.5)
    found = starts(frame, (("a", "b"), ("c",)), wide, unit=unit, group=group)
    assert len(found) == 2
    for start in found:
        assert (start.outcome.mean(), start.outcome.std()) == pytest.approx((3.0, 2.0))
        assert (start.exposure.min(), start.exposure.max()) == (0.5, 1.5)
        assert start.exposure is start.exposure_proxy
        within = start.outcome_proxy - np.repeat(start.outcome_proxy.reshape(2, 100).mean(axis=1), 100)
        assert np.corrcoef(within, start.outcome - np.repeat(start.outcome.reshape(2, 100).mean(axis=1), 100))[
            0, 1
        ] == pytest.approx(1.0)
    z = (frame - frame.mean()) / frame.std()
    assert np.corrcoef(found[0].outcome_proxy, z["a"] + z["b"])[0, 1] == pytest.approx(1.0)


def test_without_groups_the_start_is_the_proxy():
    frame = pd.DataFrame({"a": [1.0, 2.0, 4.0, 8.0], "b": [3.0, 1.0, 2.0, 5.0]})
    wide = (moments(0.0, 1.0, -9.0, 9.0),) * 2
    (found,) = starts(frame, (("a",), ("b",)), wide, unit=np.array([0, 0, 1, 1]), group=None)
    assert found.outcome is found.outcome_proxy


def test_members_begin_elsewhere():
    """Columns weighed at random, noise of units and cells in the proxies, noise of groups in the level."""
    frame = pd.DataFrame({"a": np.r_[np.zeros(100), np.ones(100)] + np.arange(200) % 2 / 2})
    unit, group = np.repeat(np.arange(20), 10), np.repeat(np.arange(2), 100)
    wide = (moments(0.0, 1.0, -9.0, 9.0),) * 2

    def first(seed):
        return starts(frame, (("a",), ("a",)), wide, unit=unit, group=group, rng=np.random.default_rng(seed))[0]

    a, b = first(1), first(2)
    assert 0.5 < np.corrcoef(a.outcome_proxy, b.outcome_proxy)[0, 1] < 0.999
    assert np.array_equal(first(1).outcome, a.outcome)
    four = pd.DataFrame(np.random.default_rng(3).normal(size=(400, 1)), columns=["a"])
    unit, group = np.repeat(np.arange(40), 10), np.repeat(np.arange(4), 100)
    for rng, alike in ((None, True), (np.random.default_rng(4), False)):
        found = starts(four, (("a",), ("a",)), wide, unit=unit, group=group, rng=rng)[0]
        means, proxies = (v.reshape(4, 100).mean(axis=1) for v in (found.outcome, found.outcome_proxy))
        assert (np.corrcoef(means, proxies)[0, 1] > 0.9999) == alike


# The solver


def test_no_step_leaves_the_bounds():
    """Every point that the system is asked about lies within them."""
    rng = np.random.default_rng(5)
    low, high = np.full(30, -0.1), np.full(30, 0.1)
    a = rng.normal(size=(3, 30))

    def system(point):
        assert (point >= low).all()
        assert (point <= high).all()
        return a @ point + np.sin(a @ point) - 3, a * (1 + np.cos(a @ point))[:, None]

    start = rng.normal(size=30)  # outside them
    found = solve(system, start, start, low, high, n_wishes=0, pull=1e-3, tolerance=0.0, max_iterations=200)
    assert (np.abs(found.point) <= 0.1).all()
    assert (np.abs(found.point) == 0.1).any()


# The job


def test_the_central_panel_is_the_nearest_of_its_starts(problem, monkeypatch):
    real = job.starts

    def one(order):
        monkeypatch.setattr(job, "starts", lambda *given, **named: [real(*given, **named)[i] for i in order])
        return reconstruct(problem)

    apart = [one([i]) for i in (0, 1)]
    assert all(found.worst < 1 for found in apart)
    nearest = min(found.distance for found in apart)
    assert apart[0].distance != apart[1].distance
    for order in ([0, 1], [1, 0]):
        both = one(order)
        assert both.distance == nearest
        assert both.iterations == sum(found.iterations for found in apart)
        assert both.seed is None


def test_where_no_start_meets_the_targets_the_least_miss_is_kept(problem, monkeypatch):
    real = job.starts
    monkeypatch.setattr(job, "_ITERATIONS", 2)

    def one(order):
        monkeypatch.setattr(job, "starts", lambda *given, **named: [real(*given, **named)[i] for i in order])
        return reconstruct(problem)

    worst = [one([i]).worst for i in (0, 1)]
    assert min(worst) > 1
    assert worst[0] != worst[1]
    assert one([0, 1]).worst == one([1, 0]).worst == min(worst)


def test_a_member_draws_its_targets_anew_where_they_cannot_be_met(problem, monkeypatch):
    drawn = []
    real = job.targets_of
    monkeypatch.setattr(job, "_ITERATIONS", 1)
    monkeypatch.setattr(job, "targets_of", lambda *given: drawn.append(real(*given)) or drawn[-1])
    found = reconstruct(problem, seed=1)
    assert found.worst > 1
    assert found.iterations == 2 * len(drawn) == 16
    assert len({targets.outcome.mean.value for targets in drawn}) == 8


def test_the_central_panel_moves_towards_the_proxies(problem, monkeypatch):
    """Once the targets are met there is room to come closer: without those steps it stays further away."""
    solutions = []
    real = job.solve
    monkeypatch.setattr(job, "solve", lambda *given, **ssc: solutions.append(real(*given, **ssc)) or solutions[-1])
    near = reconstruct(problem)
    assert near.iterations == sum(solution.iterations for solution in solutions)
    assert len(solutions) == 4  # two starts, each met and then moved
    monkeypatch.setattr(job, "_CLOSER_ITERATIONS", 0)
    far = reconstruct(problem)
    assert max(near.worst, far.worst) < 1
    assert near.distance < 0.9 * far.distance
    assert near.iterations > far.iterations


def test_an_ensemble_takes_the_first_start_that_will_do(problem, monkeypatch):
    asked = []
    real = job.solve
    monkeypatch.setattr(job, "solve", lambda *given, **options: asked.append(1) or real(*given, **options))
    steps: list[str] = []
    found = ensemble(problem, 3, seed=5, on_progress=lambda event: steps.append(str(event)))
    assert steps == ["panel 0 of 3", "panel 1 of 3", "panel 2 of 3", "panel 3 of 3"]
    assert all(member.worst < 1 for member in found)
    assert len(asked) == 3
    assert len({member.seed for member in found}) == 3
    summary = summary_frame(found)
    assert summary["panel"].tolist() == [1, 2, 3]
    assert summary["not_met"].tolist() == [0, 0, 0]
    assert summary["seed"].tolist() == [member.seed for member in found]


def test_the_command_passes_its_options_on(monkeypatch, capsys):
    seen = []

    def stop(of_problem, *given, executor, on_progress):
        seen.extend([of_problem.study.name, *given, executor])
        raise InputError("enough")

    monkeypatch.setattr(job, "ensemble", stop)
    with pytest.raises(SystemExit):
        main(["reconstruct", "--n", "3", "--seed", "7", "--workers", "1"])
    assert seen == ["paper", 3, 7, SERIAL]
    assert capsys.readouterr().err == "error: enough\n"


def test_what_is_made_is_reconstructed_whatever_the_study_says(problem):
    """The study calls its own columns simulated; a reconstruction of them is one."""
    found = reconstruct(problem, seed=3)
    assert found.replication.panel.origins == {
        "y": Origin.RECONSTRUCTED,
        "d": Origin.RECONSTRUCTED,
        "x": Origin.OBSERVED,
    }
    assert found.replication.panel.origin is Origin.RECONSTRUCTED
    names = list(ensemble_files(problem, [found] * 10))
    assert names[0] == "panels/unknown_01.csv"
    assert names[9] == "panels/unknown_10.csv"


def test_rows_may_be_in_any_order(tmp_path):
    """Proxies and controls stay with their unit and year when a file is sorted by year."""
    study = make_study(tmp_path, seed=4)
    before = load_problem(study)
    frame = pd.read_csv(tmp_path / "observed.csv")
    frame.sort_values(["year", "unit"]).to_csv(tmp_path / "observed.csv", index=False)
    after = load_problem(study)
    pd.testing.assert_frame_equal(after.frame, before.frame)
    assert (after.design.x[:, 1] == after.frame["x"]).all()
    assert (after.design.x[:, 1] == before.design.x[:, 1]).all()
