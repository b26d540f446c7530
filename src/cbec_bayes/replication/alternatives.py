"""One slope in every panel of a study: by two-way fixed effects, with trends of units, and in first differences."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from cbec_bayes.classical.regression import twfe
from cbec_bayes.classical.transformed import Transformation, has_weights, regress
from cbec_bayes.panel import load_study_panel, study_frame
from cbec_bayes.panel.derived import index_of
from cbec_bayes.panel.design import Design, make_design
from cbec_bayes.panel.entropy import load_system
from cbec_bayes.panel.study import PanelSpec, Study
from cbec_bayes.runtime.distributions import t_ppf, t_sf
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import CI_PROB, Origin, level

ALTERNATIVE_COLUMNS = (
    "alternative",
    "label",
    "outcome",
    "exposure",
    "controls",
    "first",
    "last",
    "n_units",
    "n_obs",
    "regression",
    "vcov",
    "estimate",
    "se",
    "ci_low",
    "ci_high",
    "p",
    "within_sd",
    "origin",
)
"""Columns of alternatives.csv, a row for each panel and regression.

`regression` is ``levels`` (two-way fixed effects), once with the convention of the study and once with CR2, ``trends``
(a linear trend for each unit beside them) or ``differences``, which rows with weights do not have. Intervals and
p-values are by the t distribution with one degree of freedom less than there are clusters. `within_sd` is the slope in
within standard deviations: how many of the outcome go with one of the exposure, so that sizes compare across units.
"""

WEIGHT_COLUMNS = ("alternative", "indicator", "label", "weight", "missing", "origin")
"""Columns of index_weights.csv: indicators with their weights, and those that could not be had, without."""

REGRESSIONS: Mapping[Transformation, str] = {
    "levels": "two-way fixed effects",
    "trends": "trends of units",
    "differences": "first differences",
}
"""What is taken out of each unit, and what a sentence calls it."""


def alternatives_frame(study: Study) -> pd.DataFrame:
    """Return the slope of the exposure in every panel of a study, with columns `ALTERNATIVE_COLUMNS`.

    Parameters
    ----------
    study
        With a panel.

    Raises
    ------
    InputError
        A panel cannot be read, or its exposure does not vary beyond effects and controls.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> table = cb.alternatives_frame(cb.load_study("circulation"))
    >>> table.loc[table["alternative"] == "main", "regression"].tolist()
    ['levels', 'levels', 'trends', 'differences']
    """
    spec = _panel(study)
    rows: list[dict[str, object]] = []
    for name, one in spec.panels.items():
        design = make_design(load_study_panel(one))
        shared: dict[str, object] = {
            "alternative": name,
            "label": spec.labels_of_panels[name],
            "outcome": one.outcome,
            "exposure": one.exposure,
            "controls": " ".join(one.controls),
            "first": design.times[0],
            "last": design.times[-1],
            "n_units": len(design.units),
            "n_obs": len(design.y),
            "origin": str(design.origin),
        }
        rows += [shared | row for row in _slopes(design, one.convention)]
    return pd.DataFrame(rows, columns=list(ALTERNATIVE_COLUMNS))


def _slopes(design: Design, convention: str) -> list[dict[str, object]]:
    if design.terms[0] in (whole := twfe(design, ssc=convention)).dropped:
        raise InputError(
            f"the exposure '{design.terms[0]}' is explained completely by effects and controls, so that it has no slope"
        )
    found = [("levels", convention, float(whole.estimate[0]), float(whole.se[0]))]
    for transformation in REGRESSIONS:
        if transformation == "differences" and has_weights(design):
            continue
        own = regress(design, transformation)
        found.append((transformation, "CR2", float(own.estimate[0]), float(own.cr2_se[0])))
    df = whole.n_clusters - 1
    wide = float(t_ppf((1 + CI_PROB) / 2, df))
    scale = design.spread.within[1] / design.spread.within[0]
    return [
        {
            "regression": regression,
            "vcov": vcov,
            "estimate": estimate,
            "se": se,
            "ci_low": estimate - wide * se,
            "ci_high": estimate + wide * se,
            "p": 2 * float(t_sf(abs(estimate / se), df)),
            "within_sd": estimate * scale,
        }
        for regression, vcov, estimate, se in found
    ]


def index_weights_frame(study: Study) -> pd.DataFrame:
    """Return the weights of every index that a panel of a study has, with columns `WEIGHT_COLUMNS`.

    The weights are of the rows of that panel. Indicators that the index lacks stand beside, marked as missing.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> weights = cb.index_weights_frame(cb.load_study("circulation"))
    >>> weights[["indicator", "weight"]].head(3).round(2)
             indicator  weight
    0            zones    0.26
    1  ecommerce_sales    0.19
    2  broadband_ports    0.08
    """
    found = []
    for name, one in _panel(study).panels.items():
        for how in one.derived_here.values():
            if how.index is not None:
                index = index_of(study_frame(one), how.index, unit=one.unit, time=one.time)
                there = index.weights[["indicator", "label", "weight"]].assign(missing=False)
                lacking = pd.DataFrame(
                    {"indicator": "", "label": list(load_system(how.index).missing), "missing": True}
                )
                found.append(pd.concat([there, lacking], ignore_index=True).assign(alternative=name))
    if not found:
        return pd.DataFrame(columns=list(WEIGHT_COLUMNS))
    return pd.concat(found, ignore_index=True).assign(origin=str(Origin.INDEX))[list(WEIGHT_COLUMNS)]


def alternatives_sentence(frame: pd.DataFrame) -> str:
    """Return in how many panels of a study the slope's interval leaves out zero, regression by regression.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> table = cb.alternatives_frame(cb.load_study("circulation"))
    >>> cb.alternatives_sentence(table).split(".")[0]
    '16 panels ask the same question'
    """
    corrected = frame[frame["vcov"] == "CR2"]
    n = corrected["alternative"].nunique()
    parts = []
    for regression, called in REGRESSIONS.items():
        if regression not in set(corrected["regression"]):
            continue
        own = corrected[corrected["regression"] == regression]
        settled = int((own["ci_low"] > 0).sum()), int((own["ci_high"] < 0).sum())
        parts.append(f"with {called} above zero in {settled[0]} and below zero in {settled[1]}")
    return (
        f"{n} panels ask the same question. The {level(CI_PROB)} interval of the slope (CR2) lies {'; '.join(parts)}."
    )


def shown_alternatives(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the slopes for a reader: a row for each panel, each cell an estimate with its CR2 standard error.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> table = cb.alternatives_frame(cb.load_study("circulation"))
    >>> cb.shown_alternatives(table).iloc[0].tolist()
    ['main: as asked', '0.00574 (0.0067)', '0.00497 (0.0032)', '0.00422 (0.0045)']
    """
    corrected = frame[frame["vcov"] == "CR2"]
    cells = corrected.assign(
        cell=[f"{row['estimate']:.3g} ({row['se']:.2g})" for row in corrected.to_dict("records")],
        panel=corrected["alternative"] + ": " + corrected["label"],
    )
    wide = cells.pivot_table(index="panel", columns="regression", values="cell", aggfunc="first").loc[
        list(dict.fromkeys(cells["panel"]))
    ]
    return (
        wide[[one for one in REGRESSIONS if one in wide.columns]]
        .rename(columns=dict(REGRESSIONS))
        .rename_axis(columns=None)
        .reset_index()
    )


def _panel(study: Study) -> PanelSpec:
    if study.panel is None:
        raise InputError(f"the study '{study.name}' has no panel", file=study.path)
    return study.panel
