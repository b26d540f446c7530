"""What a calibration consists of: which members, how often, and which pairs are wrong on purpose."""

from __future__ import annotations

from cbec_bayes.bayes.model.family import load_panel_model, panel_model_names

WRONG = (("partial_pooling", "nested"), ("partial_pooling", "ar1"))
"""Fitted model and the model of its data: made wrong on purpose, to be found out."""


FOUND_OUT = 200
"""Replications by which a model that is wrong on purpose is found out."""


def plan(n: int) -> tuple[list[tuple[str, str, int]], int]:
    """Return model, model of its data and replications, and the outcomes per scenario of the coverage study.

    Members that PyMC samples get a fifth of the replications, and so do models that are wrong on purpose, but not fewer
    than `FOUND_OUT` while there are as many; scenarios get half.
    """
    few = max(1, n // 5)
    wrong = max(few, min(n, FOUND_OUT))
    own = [(name, name, n if load_panel_model(name).is_gaussian else few) for name in panel_model_names()]
    return [*own, *((model, data_of, wrong) for model, data_of in WRONG)], max(1, n // 2)
