"""Do the slopes of groups differ? Every classical test of it, as rows of one table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from cbec_bayes.classical.few import REPLICATIONS
from cbec_bayes.classical.group_slopes import CONTROLS, Controls, GroupSlopes, group_slopes
from cbec_bayes.classical.joint_bootstrap import joint_bootstrap
from cbec_bayes.classical.permutation import PERMUTATIONS, Permutation, UnitMoments, permutation_test, unit_moments
from cbec_bayes.classical.wald import WaldTest, contrasts_of, pair_contrast, wald_test
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.distributions import t_isf
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import CI_PROB, GROUP_ALL
from cbec_bayes.runtime.progress import OnProgress, Progress, ignore_progress

MOST_PAIRED = 10
"""Groups up to which every two of them are compared."""

PAIR_PERMUTATIONS = 999
"""Relabellings for each pair."""

SLOPE, WALD, BOOTSTRAP = "slope", "wald", "wild_bootstrap"
PERMUTED, PERMUTED_RAW = "permutation", "permutation_difference"
PAIRS = "pairs"
JOINT_TESTS = (WALD, BOOTSTRAP, PERMUTED)
"""Tests that all slopes are equal, in the order of the rows."""

_POOR = 4.0  # degrees of freedom of the denominator below which the approximation is poor (Pustejovsky and Tipton)


def pair_name(first: str, second: str) -> str:
    """Return what the difference of two groups is called."""
    return f"{first} - {second}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EqualityOptions:
    """How equality is tested: convention, draws of the bootstrap and of permutations, seed, level of intervals."""

    ssc: str = "reghdfe"
    replications: int = REPLICATIONS
    permutations: int = PERMUTATIONS
    pair_permutations: int = PAIR_PERMUTATIONS
    seed: int = 1
    prob: float = CI_PROB
    on_progress: OnProgress = field(default=ignore_progress, compare=False)


def equality_rows(design: Design, options: EqualityOptions | None = None) -> list[dict[str, Any]]:
    """Test whether the slope of the exposure differs between groups, in every classical way.

    Parameters
    ----------
    design
        Its first term is the exposure. Without groups, or with one, there are no rows.
    options
        Options of the tests.

    Returns
    -------
    list of dict
        Rows of differences.csv, see `cbec_bayes.jobs.differences.DIFFERENCE_COLUMNS`: with controls in common and by
        group each group's slope, the joint tests, and with up to `MOST_PAIRED` groups every pair, with Holm's
        correction within a test. What cannot be tested has a row that says why in `note`.
    """
    asked = options or EqualityOptions()
    if len(design.groups) < 2:
        return []
    rows: list[dict[str, Any]] = []
    for k, controls in enumerate(CONTROLS):
        asked.on_progress(Progress("tests of equal slopes", k, len(CONTROLS)))
        try:
            slopes = group_slopes(design, controls, asked.ssc)
        except InputError as error:
            rows.append(_row(WALD, controls, note=error.message))
            continue
        rows += [*_slope_rows(slopes, asked.prob), *_joint_rows(design, slopes, asked)]
        if len(slopes.groups) <= MOST_PAIRED:
            rows += _pair_rows(design, slopes, asked)
        else:
            note = f"every two groups are compared only up to {MOST_PAIRED} groups, and there are {len(slopes.groups)}"
            rows.append(_row(PAIRS, controls, note=note))
    return rows


def _row(test: str, controls: Controls, groups: str = GROUP_ALL, **cells: object) -> dict[str, Any]:
    return {"test": test, "groups": groups, "controls": controls, "note": "", **cells}


def _of_wald(found: WaldTest) -> dict[str, Any]:
    poor = "" if found.reason or found.df2 >= _POOR else "so few degrees of freedom that p is a rough guide"
    return {
        "statistic": found.statistic,
        "df": found.df,
        "df2": found.df2,
        "p": found.p,
        "note": found.reason or poor,
    }


def _of_permutation(found: Permutation) -> dict[str, Any]:
    return {"statistic": found.statistic, "p": found.p, "mcse": found.mcse, "draws": found.draws}


def _estimate(slopes: GroupSlopes, contrast: Array, prob: float) -> dict[str, Any]:
    """Return the test of one contrast with its value, standard error and interval."""
    tested = wald_test(slopes, contrast)
    value = float(contrast[0] @ slopes.estimate)
    se = float(np.sqrt(contrast[0] @ slopes.covariance @ contrast[0]))
    half = se * float(t_isf((1 - prob) / 2, tested.df2))
    ends = {"estimate": value, "se": se, "ci_low": value - half, "ci_high": value + half}
    return {**_of_wald(tested), **ends, "n_clusters": slopes.n_clusters, "vcov": _vcov(slopes)}


def _vcov(slopes: GroupSlopes) -> str:
    return "CR2" if slopes.is_bias_reduced else "CRV1"


def _slope_rows(slopes: GroupSlopes, prob: float) -> Iterator[dict[str, Any]]:
    unit = np.eye(len(slopes.groups))
    for r, group in enumerate(slopes.groups):
        yield _row(SLOPE, slopes.controls, group, group=group, **_estimate(slopes, unit[[r]], prob))
    for group, reason in slopes.left_out.items():
        yield _row(SLOPE, slopes.controls, group, group=group, note=f"not compared: {reason}")


def _joint_rows(design: Design, slopes: GroupSlopes, asked: EqualityOptions) -> Iterator[dict[str, Any]]:
    """Yield the tests that all slopes are equal."""
    n_groups, own = len(slopes.groups), {"n_clusters": slopes.n_clusters}
    out = f"without {', '.join(slopes.left_out)}" if slopes.left_out else ""

    def joint(test: str, cells: Mapping[str, Any]) -> dict[str, Any]:
        note = "; ".join(text for text in (cells.get("note", ""), out) if text)
        return _row(test, slopes.controls, **{**cells, **own, "note": note})

    yield joint(WALD, {**_of_wald(wald_test(slopes, contrasts_of(n_groups))), "vcov": _vcov(slopes)})
    try:
        wild = joint_bootstrap(slopes, asked.replications, asked.seed)
        cells = {"statistic": wild.statistic, "df": n_groups - 1, "p": wild.p, "mcse": wild.mcse, "draws": wild.draws}
        yield joint(BOOTSTRAP, {**cells, "vcov": "CRV1", "note": f"weights: {wild.weights}"})
    except InputError as error:
        yield joint(BOOTSTRAP, {"note": error.message})
    try:
        moments = unit_moments(design, _apart(design, slopes), asked.ssc)
        of, many = _codes(design, slopes.groups), asked.permutations
        found = permutation_test(moments, of, slopes.controls, permutations=many, seed=asked.seed)[0]
        yield joint(PERMUTED, {**_of_permutation(found), "df": n_groups - 1, "vcov": "CRV1"})
    except InputError as error:
        yield joint(PERMUTED, {"note": error.message})


def _pair_rows(design: Design, slopes: GroupSlopes, asked: EqualityOptions) -> list[dict[str, Any]]:
    """Return the tests of every two groups, with Holm's correction within a test."""
    n, rows = len(slopes.groups), list[dict[str, Any]]()
    pairs = list(combinations(range(n), 2))
    moments: UnitMoments | None = None
    for k, (i, j) in enumerate(pairs):
        asked.on_progress(Progress("pairs of groups", k, len(pairs)))
        first, second = slopes.groups[i], slopes.groups[j]
        named = {"groups": pair_name(first, second), "group": first, "minus": second}
        rows.append(_row(WALD, slopes.controls, **{**named, **_estimate(slopes, pair_contrast(n, i, j), asked.prob)}))
        difference = {name: rows[-1][name] for name in ("estimate", "n_clusters")}
        of, many = _codes(design, (first, second)), asked.pair_permutations
        try:
            moments = moments or unit_moments(design, _apart(design, slopes), asked.ssc)
            found = permutation_test(moments, of, slopes.controls, permutations=many, seed=asked.seed)
        except InputError as error:
            rows.append(_row(PERMUTED, slopes.controls, **{**named, **difference, "note": error.message}))
            continue
        for test, one in zip((PERMUTED, PERMUTED_RAW), found, strict=True):
            assert one is not None
            rows.append(_row(test, slopes.controls, **{**named, **difference, **_of_permutation(one)}))
    for test in (WALD, PERMUTED, PERMUTED_RAW):
        own = [row for row in rows if row["test"] == test and "p" in row]
        for row, corrected in zip(own, holm([row["p"] for row in own]), strict=True):
            row["p_holm"] = corrected
    return sorted(rows, key=lambda row: (WALD, PERMUTED, PERMUTED_RAW).index(row["test"]))


def _codes(design: Design, groups: Sequence[str]) -> list[int]:
    return [design.groups.index(group) for group in groups]


def _apart(design: Design, slopes: GroupSlopes) -> list[int]:
    return _codes(design, tuple(slopes.left_out)) if slopes.controls == "common" else []


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values that hold for all of several tests at once (Holm 1979); NaN stays, and does not count."""
    values = np.asarray(p, dtype=float)
    told = np.flatnonzero(np.isfinite(values))
    order = told[np.argsort(values[told], kind="stable")]
    steps = values[order] * np.arange(len(order), 0, -1)
    found = np.full(len(values), np.nan)
    found[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(order) else steps
    return [float(value) for value in found]
