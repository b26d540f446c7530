from __future__ import annotations

import os
from itertools import islice, product

import pytest
from hypothesis import HealthCheck, Phase, settings

from cbec_bayes.published.estimates import PrintedEstimates, heterogeneity
from cbec_bayes.published.printed import Paper, load_paper
from cbec_bayes.runtime import fanout

# A command that takes longer on a busy machine would say so in its log, and standard error is compared in many tests.
os.environ["CBEC_BAYES_PROGRESS"] = "0"

# No deadline: the machines that run this are shared, and a timed assertion tests the neighbours.
settings.register_profile(
    "default", deadline=None, max_examples=150, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
# For `make mutants`: to have failed is enough, and to find the smallest example may take minutes.
settings.register_profile(
    "mutants", settings.get_profile("default"), phases=[Phase.explicit, Phase.generate], report_multiple_bugs=False
)
settings.load_profile("default")


@pytest.fixture(scope="session", autouse=True)
def one_process():
    """Work in this process where a test asks for no number of workers.

    A pool of processes imports the program and PyMC once for each of them, which takes more than what most tests do
    with it. The tests of pools, and those that compare a pool with one process, say how many workers they want.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fanout, "cores", lambda: 1)
        yield


@pytest.fixture
def few_specifications(monkeypatch):
    """Weigh every fourth combination of assumptions alone, for tests that ask what becomes of a command's files."""
    monkeypatch.setattr("cbec_bayes.specifications.lattice.product", lambda *axes: islice(product(*axes), 0, None, 4))


@pytest.fixture(scope="session")
def paper() -> Paper:
    return load_paper()


@pytest.fixture(scope="session")
def printed_slopes(paper: Paper) -> PrintedEstimates:
    return heterogeneity(paper)


SLOWEST = (
    "tests/bayes/pymc/test_twin.py",
    "tests/reporting/test_panelpage.py",
    "tests/jobs/test_fit.py",
    "tests/commands/test_program.py",
    "tests/bad_inputs/test_bad_inputs.py",
    "tests/bad_inputs/test_other_commands.py",
    "tests/published/test_twin.py",
    "tests/reporting/",
    "tests/checks/",
    "tests/test_notebooks.py",
    "tests/calibration/",
    "tests/jobs/",
    "tests/commands/",
    "tests/bad_inputs/",
    "tests/bayes/",
)
"""Files and folders that take longest, by CPU seconds of a file: twenty and more each, down to those of a few."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files first that take longest, so that no worker is left with one of them at the end."""

    def place_of(item: pytest.Item) -> int:
        return next((k for k, name in enumerate(SLOWEST) if item.nodeid.startswith(name)), len(SLOWEST))

    items.sort(key=place_of)
