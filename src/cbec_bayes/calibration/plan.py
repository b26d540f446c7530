"""What a calibration consists of: which members, how often, and which pairs are wrong on purpose."""

from __future__ import annotations

from dataclasses import dataclass

from cbec_bayes.bayes.model.family import load_panel_model, panel_model_names

WRONG = (("partial_pooling", "nested"), ("partial_pooling", "ar1"))
"""Fitted model and the model of its data: made wrong on purpose, to be found out."""


FOUND_OUT = 200
"""Replications by which a model that is wrong on purpose is found out."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How often everything is tried.

    Attributes
    ----------
    models
        Model, model of its data, and replications.
    outcomes
        Outcomes of each scenario of the coverage study.
    event_panels
        Panels of each scenario of staggered adoption.
    """

    models: tuple[tuple[str, str, int], ...]
    outcomes: int
    event_panels: int


def plan(n: int, outcomes: int | None = None) -> Plan:
    """Return how often everything is tried, given the replications of a member, and outcomes per scenario if they are.

    Members that PyMC samples get a fifth of the replications, and so do models that are wrong on purpose, but not fewer
    than `FOUND_OUT` while there are as many; scenarios of both kinds get half, unless their outcomes are given.
    """
    few = max(1, n // 5)
    wrong = max(few, min(n, FOUND_OUT))
    own = [(name, name, n if load_panel_model(name).is_gaussian else few) for name in panel_model_names()]
    half = max(1, n // 2)
    models = (*own, *((model, data_of, wrong) for model, data_of in WRONG))
    return Plan(models, outcomes=half if outcomes is None else outcomes, event_panels=half)
