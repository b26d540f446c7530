from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from cbec_bayes.published.estimates import PrintedEstimates, heterogeneity
from cbec_bayes.published.printed import Paper, load_paper

# No deadline: the machines that run this are shared, and a timed assertion tests the neighbours.
settings.register_profile(
    "default", deadline=None, max_examples=150, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("default")


@pytest.fixture(scope="session")
def paper() -> Paper:
    return load_paper()


@pytest.fixture(scope="session")
def printed_slopes(paper: Paper) -> PrintedEstimates:
    return heterogeneity(paper)
