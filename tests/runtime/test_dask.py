"""Every fan-out on a real cluster of several processes that loses one in the middle: no number is lost or changed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.bayes.fit import fit
from cbec_bayes.calibration.coverage import SCENARIOS, coverage
from cbec_bayes.calibration.sbc import calibrate
from cbec_bayes.checks.influence import leave_out
from cbec_bayes.jobs.ensemble import run_ensemble
from cbec_bayes.jobs.moments import gather
from cbec_bayes.jobs.reconstruct import load_problem
from cbec_bayes.panel import Roles
from cbec_bayes.panel.study import load_study
from cbec_bayes.runtime.fanout import SERIAL, Executor, fan_out, open_executor
from tests.support.members import panel

pytestmark = [pytest.mark.nightly, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@dataclass(frozen=True)
class LosesAWorker:
    """Another executor, one of whose processes kills itself as it works on the third piece, once."""

    executor: Executor
    marker: Path

    def each(self, work: Callable, pieces: Sequence[tuple[int, object]]) -> Iterator[tuple[int, object]]:
        numbered = [(position, (k, piece)) for k, (position, piece) in enumerate(pieces)]
        return self.executor.each(partial(die_once, work, self.marker), numbered)


def die_once(work: Callable, marker: Path, piece: tuple[int, object]) -> object:
    number, own = piece
    if number == 2 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return work(own)


@pytest.fixture(scope="module")
def cluster():
    from distributed import LocalCluster

    with (
        LocalCluster(n_workers=3, threads_per_worker=1, dashboard_address=":0") as started,
        open_executor(scheduler=started.scheduler_address) as executor,
    ):
        yield executor


@pytest.fixture
def losing(cluster, tmp_path):
    yield LosesAWorker(cluster, tmp_path / "killed")
    assert (tmp_path / "killed").exists()


def summed(seed: int) -> float:
    """Work whose last digits depend on how many threads a matrix product has."""
    matrix = np.random.default_rng(seed).standard_normal((150, 150))
    return float((matrix @ matrix @ matrix).sum())


def test_pieces_are_those_of_this_process(losing):
    assert fan_out(losing, summed, range(12)) == fan_out(SERIAL, summed, range(12))


def test_moments_of_a_dataset(losing, tmp_path):
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"firm": np.repeat(np.arange(60), 5), "year": np.tile(np.arange(5), 60)})
    frame["sector"] = (frame["firm"] % 3).map("s{}".format)
    frame["d"], frame["y"] = rng.standard_normal((2, len(frame)))
    folder = tmp_path / "firms"
    folder.mkdir()
    for k, rows in enumerate(np.array_split(rng.permutation(len(frame)), 6)):
        frame.iloc[rows].to_parquet(folder / f"{k}.parquet")
    roles = Roles(outcome="y", exposure="d", controls=(), unit="firm", time="year", group="sector")
    found, expected = gather(folder, roles, executor=losing), gather([frame], roles)
    np.testing.assert_allclose(found.within, expected.within, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.between, expected.between, rtol=1e-12, atol=1e-12)


def test_calibration(losing):
    asked = [("nested", "nested", 40), ("partial_pooling", "nested", 20)]
    for one, other in zip(calibrate(losing, asked, seed=2), calibrate(SERIAL, asked, seed=2), strict=True):
        assert one.failed == other.failed
        assert one.ranks.keys() == other.ranks.keys()
        for quantity, ranks in one.ranks.items():
            np.testing.assert_array_equal(ranks, other.ranks[quantity])


def test_coverage(losing):
    ours, theirs = (coverage(by, 2, scenarios=SCENARIOS[:3], seed=3) for by in (losing, SERIAL))
    pd.testing.assert_frame_equal(ours, theirs)


def test_refits_of_a_check(losing):
    found = fit(panel("balanced"), "partial_pooling", draws=200)
    pd.testing.assert_frame_equal(
        leave_out(found, "unit", executor=losing).table, leave_out(found, "unit", executor=SERIAL).table
    )


def test_the_ensemble(losing):
    problem = load_problem(load_study("paper"))
    ours, theirs = (run_ensemble(problem, by, n=3, seed=3) for by in (losing, SERIAL))
    pd.testing.assert_frame_equal(ours.sizes, theirs.sizes)
    pd.testing.assert_frame_equal(ours.conclusions, theirs.conclusions)
