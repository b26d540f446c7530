"""Do the slopes of groups differ? The tests of it, the posterior and the evidence, in one table."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from cbec_bayes.bayes.fit import PanelFit, draw_scales
from cbec_bayes.bayes.many_units import collapsed_of
from cbec_bayes.bayes.model.blocks import blocks_for
from cbec_bayes.bayes.refit import diagnose
from cbec_bayes.bayes.sampling.evidence import Evidence
from cbec_bayes.classical.equal_slopes import MOST_PAIRED, EqualityOptions, equality_rows, pair_name
from cbec_bayes.estimands.contrasts import rope_width
from cbec_bayes.estimands.exposures import by_exposure, contrasts_of, group_draws, scale_draws, scale_name
from cbec_bayes.estimands.mixed_slopes import min_ess
from cbec_bayes.estimands.summary import summarise_draws
from cbec_bayes.jobs.neighbours import MAX_WORK
from cbec_bayes.panel.design import Design
from cbec_bayes.runtime.errors import GateError, InputError
from cbec_bayes.runtime.labels import GROUP_ALL
from cbec_bayes.runtime.progress import Progress

FILE = "differences.csv"

DIFFERENCE_COLUMNS = (
    "test",
    "groups",
    "statistic",
    "df",
    "p",
    "df2",
    "p_holm",
    "controls",
    "vcov",
    "group",
    "minus",
    "estimate",
    "se",
    "ci_low",
    "ci_high",
    "probability",
    "mcse",
    "draws",
    "n_clusters",
    "note",
    "origin",
)
"""Columns of differences.csv.

`test` is one of the tests of `cbec_bayes.classical.equal_slopes`, or `TAU`, `WITHIN_ROPE`, `POSTERIOR`, `EVIDENCE`;
`groups` is ``(all)``, a group, or a pair "a - b", of which `group` and `minus` are the parts. `statistic` is F for
`df` and `df2` degrees of freedom, or what is compared with draws; of `EVIDENCE` it is the log Bayes factor, and of
`WITHIN_ROPE` the half-width. `p_holm` holds for all pairs of a test at once. `controls` says whether controls and
effects of periods are in common or by group; it is blank for the posterior. `estimate`, `se` and the interval are of a
slope, a difference, or tau, of which the posterior's is the mean. `probability` is of the posterior. `mcse` is the
Monte Carlo error of p, of the probability, of the estimate, or of the log Bayes factor, whichever the row has.
"""

TAU, WITHIN_ROPE, POSTERIOR, EVIDENCE = "tau", "within_rope", "posterior", "log_bayes_factor"

_PILOT, _DRAWS = 2_000, 1_000
_TEXT = ("test", "groups", "controls", "vcov", "group", "minus", "note", "origin")


def differences(
    found: PanelFit, options: EqualityOptions | None = None, *, half_width: float | None = None
) -> pd.DataFrame:
    """Say whether the slopes of the groups of a fitted panel differ, in every way that is known here.

    Parameters
    ----------
    found
        A fitted model.
    options
        Options of the tests.
    half_width
        Within which slopes are practically equal; default that within which they are practically zero.

    Returns
    -------
    DataFrame
        With columns `DIFFERENCE_COLUMNS`; no rows where there are fewer than two groups, or no rows of a panel. Of
        several exposures each has rows of its own, and is named in a last column ``exposure``.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> fit = cb.fit("sales ~ price + wage | firm + year", "partial_pooling", data=frame, group="sector")
    >>> tests = cb.differences(fit)
    >>> tests.loc[tests["groups"] == "(all)", "test"].unique().tolist()
    ['wald', 'wild_bootstrap', 'permutation', 'tau', 'within_rope', 'log_bayes_factor']
    """
    asked = options or EqualityOptions()
    return by_exposure({name: _of_exposure(found, name, asked, half_width) for name in found.design.exposures})


def led_by(design: Design, exposure: str) -> Design:
    """Return a design whose first regressor is one of its exposures; the others follow as they stood."""
    if exposure == design.terms[0]:
        return design
    return design.keeping((exposure, *(term for term in design.terms if term != exposure)))


def _of_exposure(found: PanelFit, exposure: str, asked: EqualityOptions, half_width: float | None) -> pd.DataFrame:
    """Return the table of one exposure, beside whose slopes the others' are in common in the tests."""
    design = led_by(found.design, exposure)
    rows: list[dict[str, Any]] = []
    if len(design.groups) > 1 and design.counted is None:
        half = rope_width(design, half_width)
        rows = [*equality_rows(design, asked), *_posterior_rows(found, exposure, half, asked)]
        asked.on_progress(Progress("evidence for one slope", 0, 1))
        rows.append(evidence_row(found, asked.seed, exposure=exposure))
    frame = pd.DataFrame(rows, columns=list(DIFFERENCE_COLUMNS)).assign(origin=str(design.origin))
    texts = frame[list(_TEXT)].astype(object)
    frame[list(_TEXT)] = texts.where(texts.notna(), "")
    numbers = [name for name in DIFFERENCE_COLUMNS if name not in _TEXT]
    return frame.astype(dict.fromkeys(numbers, float))[list(DIFFERENCE_COLUMNS)]


def _posterior_rows(
    found: PanelFit, exposure: str, half_width: float, asked: EqualityOptions
) -> Iterator[dict[str, Any]]:
    """Yield what the posterior says of differences: their scale, all within the rope, and of each pair."""
    model, ess = found.model, min_ess(found)
    if model.choice("group_slope") == "off":
        yield _row(TAU, note=f"under {model.name} all groups share one slope")
        return
    tau = scale_draws(found, exposure)
    if tau is not None:
        told = summarise_draws(tau, asked.prob, ess=ess)
        ends: dict[str, Any] = {"ci_low": told.ci_low, "ci_high": told.ci_high, "mcse": told.mcse, "draws": len(tau)}
        yield _row(TAU, estimate=told.mean, se=told.sd, **ends)
    else:
        yield _row(TAU, note=f"{model.name} has no scale between groups that is learned")
    slopes = group_draws(found, exposure)
    share = float((np.ptp(slopes, axis=1) <= half_width).mean())
    error = math.sqrt(share * (1 - share) / ess)
    note = f"largest less smallest slope at most {half_width:.3g}"
    yield _row(WITHIN_ROPE, statistic=half_width, probability=share, mcse=error, draws=len(slopes), note=note)
    if len(found.design.groups) <= MOST_PAIRED:
        for row in contrasts_of(found, exposure, asked.prob).to_dict("records"):
            first, second = str(row["group"]), str(row["minus"])
            cells = {"estimate": row["mean"], "se": row["sd"], "probability": row["p_positive"]}
            cells |= {name: row[name] for name in ("ci_low", "ci_high", "mcse")}
            yield _row(POSTERIOR, pair_name(first, second), group=first, minus=second, **cells)


def evidence_row(found: PanelFit, seed: int = 1, *, exposure: str | None = None) -> dict[str, Any]:
    """Return the log Bayes factor of one slope for all groups against the fitted member, with its Monte Carlo error.

    The member is fitted again without the deviations of groups, everything else as it is. Both have the same flat
    coefficients, so that their evidence can be compared; it depends on the prior of tau. Of several exposures it is the
    slope of one that is the same for all groups; default the first.
    """
    model = found.model
    if model.choice("group_slope") != "pooled":
        return _row(EVIDENCE, note=f"{model.name} does not pool slopes, so that there is no evidence for one of them")
    if found.log_evidence is None:
        return _row(EVIDENCE, note=found.evidence.reason)
    if found.design.n_obs * float(found.blocks.n_coefficients) > MAX_WORK:
        return _row(EVIDENCE, note=f"{found.design.n_obs} rows are too many to fit the model again with one slope")
    try:
        one = _evidence_of_one(found, seed, exposure or found.design.terms[0])
    except (GateError, InputError) as error:
        return _row(EVIDENCE, note=str(error))
    if one.value is None:
        return _row(EVIDENCE, note=one.reason)
    mcse = math.hypot(one.mcse or 0.0, found.log_evidence_mcse or 0.0)
    note = "log evidence with one slope less that with several; positive speaks for one"
    return _row(EVIDENCE, statistic=one.value - found.log_evidence, mcse=mcse, draws=_DRAWS, note=note)


def _evidence_of_one(found: PanelFit, seed: int, exposure: str) -> Evidence:
    if len(found.design.exposures) > 1:
        assert found.collapsed is not None  # only the collapsed engine knows an evidence
        collapsed = found.collapsed.holding({scale_name(found, exposure): 0.0})
    else:
        collapsed = collapsed_of(blocks_for(found.design, found.model.reduced(group_slope="off")))
    drawn = draw_scales(collapsed, draws=_DRAWS, chains=1, seed=seed, pilot=_PILOT)
    diagnose(drawn).require()
    return drawn.evidence


def _row(test: str, groups: str = GROUP_ALL, **cells: object) -> dict[str, Any]:
    return {"test": test, "groups": groups, **cells}
