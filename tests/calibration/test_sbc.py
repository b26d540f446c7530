"""Simulation-based calibration: right models pass, wrong ones fail, whoever does the work."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from cbec_bayes.bayes.model.blocks import blocks_for
from cbec_bayes.bayes.model.family import load_panel_model, panel_model_names
from cbec_bayes.calibration.sbc import DRAWS, LOG_LIKELIHOOD, Replications, _require, calibrate, pieces_of, rank_truths
from cbec_bayes.calibration.sbc import verdicts as frame_of
from cbec_bayes.calibration.simulate import GROUP_SIZES, from_prior, simulated_regressors
from cbec_bayes.runtime.errors import GateError
from cbec_bayes.runtime.fanout import Serial
from cbec_bayes.runtime.journal import Journal
from tests.support.gates import DIVERGED, missing_gates

GAUSSIAN = [name for name in panel_model_names() if load_panel_model(name).is_gaussian]


def verdicts_of(models, seed=1):
    return frame_of(calibrate(Serial(), [models], seed=seed)).set_index("quantity")


@pytest.mark.slow
@pytest.mark.parametrize("model", GAUSSIAN)
def test_every_gaussian_member_is_calibrated(model):
    """A few replications show that the parts fit together; how a wrong posterior is found is in test_uniformity."""
    found = verdicts_of((model, model, 25))
    assert (found["passed"] == "yes").all()
    assert (found["failed"] == 0).all()
    assert LOG_LIKELIHOOD in found.index


@pytest.mark.slow
@pytest.mark.parametrize(("data_of", "wrong"), [("nested", "tau"), ("ar1", "sigma")])
def test_a_wrong_model_fails(data_of, wrong):
    found = verdicts_of(("partial_pooling", data_of, 150))
    assert found.loc[wrong, "passed"] == "no"
    assert found.loc[LOG_LIKELIHOOD, "passed"] == "no"


def test_data_have_the_moments_of_their_model():
    """Truths of replications have the priors' distributions, and residuals the scale that was drawn."""
    blocks = blocks_for(simulated_regressors(np.random.default_rng(0)), "partial_pooling")
    drawn = [from_prior(blocks, np.random.default_rng([1, i])) for i in range(400)]
    sigma = np.array([float(one.truth["sigma"]) for one in drawn])
    tau = np.array([float(one.truth["tau"]) for one in drawn])
    slopes = np.array([one.truth["group_slope"] for one in drawn])
    for values, scale in ((sigma, 1.0), (tau, 0.5)):  # half-normal: E x^2 = scale^2, sd(x^2) = sqrt(2) scale^2
        assert abs((values**2).mean() - scale**2) < 4 * np.sqrt(2 / len(drawn)) * scale**2
    assert abs((slopes / tau[:, None]).std() - 1) < 4 / np.sqrt(2 * slopes.size)
    mean = [one.truth["group_total_slope"][blocks.design.group] * blocks.design.x[:, 0] for one in drawn]
    residual = np.array([one.y - m for one, m in zip(drawn, mean, strict=True)]) / sigma[:, None]
    assert abs(residual.std() - 1) < 4 / np.sqrt(2 * residual.size)


def test_panels_are_like_the_papers():
    design = simulated_regressors(np.random.default_rng(0))
    assert [int((design.group == r).sum()) // 8 for r in range(4)] == list(GROUP_SIZES)
    np.testing.assert_allclose(design.x.std(axis=0, ddof=1), 1)
    np.testing.assert_array_equal(design.spread.within, 1.0)
    left = design.effects.within(design.x)
    assert (left.std(axis=0) > 0.3).all()  # of the regressors enough is left beside the effects


def test_chunks_cover_every_replication_once():
    pieces = pieces_of([("complete_pooling", "complete_pooling", 60), ("student_t", "student_t", 7)], 1)
    for model, n in (("complete_pooling", 60), ("student_t", 7)):
        assert [i for p in pieces if p.model == model for i in p.numbers] == list(range(n))


def test_replications_do_not_depend_on_their_chunk():
    whole = rank_truths(Replications("partial_pooling", "partial_pooling", tuple(range(4)), 7))
    parts = [rank_truths(Replications("partial_pooling", "partial_pooling", (i,), 7)) for i in range(4)]
    for quantity, ranks in whole["ranks"].items():
        assert ranks == [part["ranks"][quantity][0] for part in parts]
        assert all(0 <= rank <= DRAWS for rank in ranks)


def test_a_calibration_resumes(tmp_path):
    models = [("complete_pooling", "complete_pooling", 50)]
    journal = Journal(tmp_path / "j", "x")
    (once,) = calibrate(Serial(), models, journal=journal)
    lines: list[str] = []
    (again,) = calibrate(
        Serial(), models, journal=Journal(tmp_path / "j", "x"), on_progress=lambda event: lines.append(str(event))
    )
    assert lines == ["replications 2 of 2"]
    assert frame_of([again]).equals(frame_of([once]))
    assert again.counts().equals(once.counts())
    assert once.counts().filter(like="rank_").sum(axis=1).tolist() == [50] * len(once.ranks)


@pytest.mark.nightly
def test_the_twin_is_ranked_by_nutpie():
    found = rank_truths(Replications("student_t", "student_t", (0, 1, 2), 1))
    assert found["failed"] == 0
    assert {"nu", "tau", LOG_LIKELIHOOD} <= set(found["ranks"])
    assert all(len(ranks) == 3 and min(ranks) >= 0 and max(ranks) <= DRAWS for ranks in found["ranks"].values())


def test_a_replication_whose_fit_misses_a_gate_is_counted_and_not_ranked(monkeypatch):
    piece = Replications("partial_pooling", "partial_pooling", (0, 1, 2, 3), 1)
    ordinary = rank_truths(piece)
    assert ordinary["failed"] == 0
    missing_gates(monkeypatch, {2}, DIVERGED)
    found = rank_truths(piece)
    assert found["failed"] == 1
    for quantity, ranks in ordinary["ranks"].items():
        assert found["ranks"][quantity] == [*ranks[:2], ranks[3]]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("diverging", "1 divergent transitions"),
        ("energy", "E-BFMI"),
        ("tau", "R-hat"),
    ],
)
def test_a_chain_that_misses_a_gate_is_not_ranked(broken, said):
    rng = np.random.default_rng(1)
    shape = (1, 1_000)
    stats = {"diverging": np.zeros(shape, dtype=bool), "energy": rng.normal(size=shape)}
    draws = {"slope": rng.normal(size=shape), "tau": rng.normal(size=shape), "group_slope": np.zeros((*shape, 3))}

    def tree():
        dims = ("chain", "draw", "group")
        made = ({k: (dims[: v.ndim], v) for k, v in one.items()} for one in (draws, stats))
        return xr.DataTree.from_dict(dict(zip(("posterior", "sample_stats"), map(xr.Dataset, made), strict=True)))

    _require(tree())
    if broken == "diverging":
        stats["diverging"][0, 5] = True
    elif broken == "energy":
        stats["energy"] = stats["energy"].cumsum(axis=1)
    else:
        draws["tau"][0, 500:] += 2
    with pytest.raises(GateError, match=said):
        _require(tree())
