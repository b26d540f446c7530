"""Posterior coefficients as an object that table packages read: the maketables protocol."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.estimands.groups import group_slopes
from cbec_bayes.estimands.summary import summarise_draws
from cbec_bayes.panel.within import PeriodEffects
from cbec_bayes.runtime.labels import CI_PROB

COEFFICIENT_COLUMNS = ("mean", "sd", "ci_low", "ci_high", "p_positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class Coefficients:
    """Slopes of a fitted model.

    It speaks the protocol of maketables (version 0.2), with the posterior sd in the place of the standard error. There
    is no p-value in it: a posterior probability is not one, and stays in `table`.

    Attributes
    ----------
    outcome, model
        Names.
    table
        Indexed by the slope's name, with columns `COEFFICIENT_COLUMNS`; intervals are 95 %, equal-tailed.
    n_obs, n_units, n_times
        n, N and T.
    effects
        The effects that are flat, as fixed effects are written: ``unit+time``; None where they are random.
    origin
        Origin of the data.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> fit = cb.fit("sales ~ price + wage | firm + year", "partial_pooling", data=frame, group="sector")
    >>> cb.coefficients(fit).n_obs
    96
    """

    outcome: str
    model: str
    table: pd.DataFrame
    n_obs: int
    n_units: int
    n_times: int
    effects: str | None
    origin: str

    @property
    def __maketables_coef_table__(self) -> pd.DataFrame:
        own = self.table
        missing = np.full(len(own), np.nan)
        ends = {f"ci{CI_PROB:.0%}".rstrip("%") + side: own[f"ci_{end}"] for side, end in (("l", "low"), ("u", "high"))}
        frame = pd.DataFrame({"b": own["mean"], "se": own["sd"], "t": missing, "p": missing, **ends}, index=own.index)
        return frame.rename_axis("Coefficient")

    @property
    def __maketables_depvar__(self) -> str:
        return self.outcome

    @property
    def __maketables_fixef_string__(self) -> str | None:
        return self.effects

    @property
    def __maketables_vcov_info__(self) -> dict[str, str]:
        return {"vcov_type": f"posterior sd ({self.model})"}

    @property
    def __maketables_stat_labels__(self) -> dict[str, str]:
        return {"N": "Observations", "units": "Units", "periods": "Periods", "model": "Model", "origin": "Origin"}

    @property
    def __maketables_default_stat_keys__(self) -> list[str]:
        return ["N", "units", "periods", "model", "origin"]

    def __maketables_stat__(self, key: str) -> int | str | None:
        found: dict[str, int | str] = {
            "N": self.n_obs,
            "units": self.n_units,
            "periods": self.n_times,
            "model": self.model,
            "origin": self.origin,
        }
        return found.get(key)

    def _repr_html_(self) -> str:
        return str(self.table.to_html(float_format="{:.4g}".format))


def coefficients(found: PanelFit) -> Coefficients:
    """Collect a fit's slopes: the exposure's in common and by group, and the controls' where they are in common.

    Parameters
    ----------
    found
        A fitted model, of either engine.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> fit = cb.fit("sales ~ price + wage | firm + year", "partial_pooling", data=frame, group="sector")
    >>> cb.coefficients(fit).table["mean"].round(1)
    price           0.9
    price[food]     0.5
    price[metal]    0.9
    price[paper]    1.2
    wage            0.3
    Name: mean, dtype: float64
    """
    design, model = found.design, found.model
    slopes = group_slopes(found)
    exposure = design.terms[0]
    draws = {exposure: slopes.common}
    if model.choice("group_slope") != "off":
        draws |= {f"{exposure}[{group}]": slopes.groups[:, r] for r, group in enumerate(slopes.labels)}
    posterior = found.tree["posterior"].dataset
    if "control_slope" in posterior:
        draws |= {term: posterior["control_slope"].sel(coef=term).to_numpy() for term in design.controls}
    rows = {}
    for name, values in draws.items():
        s = summarise_draws(values)
        rows[name] = (s.mean, s.sd, s.ci_low, s.ci_high, s.p_positive)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=list(COEFFICIENT_COLUMNS))
    kinds = {"unit": "unit_effect", "time": "time_effect", "unit trends": "unit_trend"}
    if design.period_effects is PeriodEffects.NONE:
        del kinds["time"]
    effects = "+".join(name for name, term in kinds.items() if model.choice(term) == "fixed") or None
    return Coefficients(
        outcome=design.outcome,
        model=model.name,
        table=table,
        n_obs=design.n_obs,
        n_units=len(design.units),
        n_times=len(design.times),
        effects=effects,
        origin=str(design.origin),
    )
