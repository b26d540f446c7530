"""What the data add to the priors of the scales."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.bayes.model.densities import log_density
from cbec_bayes.bayes.model.terms import is_scale

COLUMNS = ("parameter", "value", "prior", "posterior", "origin")


def prior_posterior(fit: PanelFit, points: int = 128) -> pd.DataFrame:
    """Return densities of every sampled scale before and after the data, over the logarithm of the scale.

    Parameters
    ----------
    fit
        A fitted model, of either engine.
    points
        Values per scale.

    Returns
    -------
    DataFrame
        parameter (as ``tau`` or ``sigma[east]``), value, prior, posterior, origin. Densities are of the logarithm, in
        which a scale has no edge: the prior's exact, the posterior's a kernel estimate of the draws.
    """
    from arviz_stats.base import array_stats

    posterior = fit.posterior
    frames = []
    for name, prior in fit.priors.items():
        if not is_scale(name) or name not in posterior or prior.dist == "fixed":
            continue
        values = posterior[name]
        draws = values.to_numpy().reshape(values.sizes["chain"] * values.sizes["draw"], -1)
        labels = [name] if draws.shape[1] == 1 else [f"{name}[{one}]" for one in values[values.dims[-1]].to_numpy()]
        for label, own in zip(labels, draws.T, strict=True):
            grid, density, _ = array_stats.kde(np.log(own[own > 0]), grid_len=points)
            before = np.exp(log_density(prior, np.exp(grid))[0] + grid)
            frames.append(pd.DataFrame(dict(zip(COLUMNS, (label, np.exp(grid), before, density), strict=False))))
    if not frames:
        return pd.DataFrame(columns=list(COLUMNS))
    return pd.concat(frames, ignore_index=True).assign(origin=str(fit.design.origin))
