"""Fan-out: the same numbers whoever does the work, errors that name what happened."""

from __future__ import annotations

import os

import numpy as np
import pytest

from cbec_bayes.runtime.errors import GateError, InputError
from cbec_bayes.runtime.fanout import Serial, fan_out, open_executor


def summed(seed: int) -> float:
    """Work whose last digits depend on how many threads a matrix product has."""
    matrix = np.random.default_rng(seed).standard_normal((150, 150))
    return float((matrix @ matrix @ matrix).sum())


def die(seed: int) -> float:
    os._exit(seed)


def refuse(seed: int) -> float:
    raise InputError(f"no such seed: {seed}")


@pytest.mark.slow
def test_the_numbers_do_not_depend_on_who_does_the_work():
    alone = fan_out(Serial(), summed, range(6))
    with open_executor(2) as two:
        assert fan_out(two, summed, range(6)) == alone
        assert fan_out(two, summed, range(5, -1, -1)) == alone[::-1]
        with pytest.raises(InputError, match="no such seed: 3"):
            fan_out(two, refuse, [3])


@pytest.mark.slow
def test_a_worker_that_dies_is_reported_in_one_line():
    with open_executor(2) as two, pytest.raises(GateError, match="a worker process was killed"):
        fan_out(two, die, [3])


def test_one_worker_is_this_process():
    with open_executor(1) as one:
        assert one == Serial()


@pytest.mark.parametrize("workers", [0, -1])
def test_no_workers(workers):
    with pytest.raises(InputError, match="at least one worker"), open_executor(workers):
        pass


def test_no_scheduler(monkeypatch):
    monkeypatch.setattr("cbec_bayes.runtime.fanout.PATIENCE", "100ms")
    with (
        pytest.raises(InputError, match="no Dask scheduler answers at 'nowhere:0'"),
        open_executor(scheduler="nowhere:0"),
    ):
        pass
