"""The specification curve: every slope under every member of the lattice, and what each member assumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cbec_bayes.panel.study import MAIN
from cbec_bayes.reporting.drawing import BLUE, GREY, GROUP_TITLES, IMAGES, INK, Drawing, new_figure
from cbec_bayes.runtime.labels import CI_PROB, GROUP_NEW, level
from cbec_bayes.specifications.lattice import ALTERNATIVE, AXES, LEVELS, LOGARITHMS, OUTCOME_SCALE

_NAMES = ("specifications", *(f"specifications_{scale}" for scale in (LEVELS, LOGARITHMS)))

CURVES = tuple(f"{name}.{ending}" for name in _NAMES for ending in ("svg", *IMAGES))
"""Files that `curve_files` may return."""

LIGHTEST = 0.25
"""Shade of a member without weight; one of all the weight is opaque."""

_PANEL, _ROW, _REST = 1.5, 0.19, 1.2  # inches


def curves(table: pd.DataFrame, exposure: str, study: str = "", prob: float = CI_PROB) -> dict[str, Drawing]:
    """Return the figures of specifications.csv, one for each scale of the main panel's outcome, by name.

    Where a page shows the curves of several studies the name of each tells their elements apart.
    """
    table = table[table[ALTERNATIVE] == MAIN]
    scales = list(dict.fromkeys(table[OUTCOME_SCALE]))
    found: dict[str, Drawing] = {}
    for scale in scales:
        part = table[(table[OUTCOME_SCALE] == scale) & table["mean"].notna()]
        if len(part):
            name = "specifications" if len(scales) == 1 else f"specifications_{scale}"
            found[name] = specification_curve(part, exposure, "" if len(scales) == 1 else scale, study, prob)
    return found


def curve_files(drawn: Mapping[str, Drawing], images: Sequence[str] = ()) -> dict[str, str | bytes]:
    """Return the files of curves, which lie beside specifications.csv: SVG, and images of other formats."""
    files: dict[str, str | bytes] = {f"{name}.svg": one.svg() for name, one in drawn.items()}
    return files | {f"{name}.{ending}": one.image(ending) for name, one in drawn.items() for ending in images}


def specification_curve(
    table: pd.DataFrame, exposure: str, scale: str = "", study: str = "", prob: float = CI_PROB
) -> Drawing:
    """Draw each slope with its interval under all members, the best prediction first, and below what they assume.

    Parameters
    ----------
    table
        Rows of specifications.csv with slopes, of one scale of the outcome.
    exposure
        Name of the regressor.
    scale
        Scale of the outcome, where there are several.
    study
        Name of the study, where there are several.
    prob
        Probability of the intervals.
    """
    members = table.drop_duplicates("member").sort_values("elpd_unit", ascending=False)
    order = {member: i for i, member in enumerate(members["member"])}
    groups = [group for group in dict.fromkeys(table["group"]) if group != GROUP_NEW]
    marks = [(label, axis, value) for axis, values in AXES.items() for value, label in _labels(values)]
    marks = [mark for mark in marks if (members[mark[1]] == mark[2]).any()]
    heights = [*([_PANEL] * len(groups)), _ROW * max(1, len(marks)) + 0.1]
    with new_figure(
        sum(heights) + _REST, panels=(len(groups) + 1, 1), sharex=True, squeeze=False, height_ratios=heights
    ) as (figure, grid):
        for axes, group in zip(grid[:, 0], groups, strict=False):
            _slopes(axes, table[table["group"] == group], order)
            axes.set_title(GROUP_TITLES.get(group, group), fontsize=9, loc="left")
        _marks(grid[-1, 0], members, marks)
        grid[-1, 0].set_xlabel(
            "specifications, the best prediction first\ndarker: more weight; crosses: the regression", fontsize=8
        )
        figure.supylabel(f"slope of {exposure}" + (f" ({scale})" if scale else ""), fontsize=9)
        best = members.iloc[0]["member"]
        return Drawing(
            figure,
            "Specification curve" + (f", {study}" if study else "") + (f" ({scale})" if scale else ""),
            f"{len(groups)} slopes under {len(members)} specifications with {level(prob)} intervals, ordered by "
            f"what they predict of units left out, first {best}; the numbers are in specifications.csv",
        )


def _labels(values: Sequence[Any]) -> list[tuple[str, str]]:
    return [(choice.value, choice.label) for choice in values if choice.label]


def _slopes(axes: Any, rows: pd.DataFrame, order: dict[str, int]) -> None:
    axes.axhline(0, color=GREY, linewidth=0.8)
    for row in rows.to_dict("records"):
        at, shade = order[row["member"]], _shade(row["weight"])
        axes.vlines(at, row["ci_low"], row["ci_high"], color=BLUE, alpha=shade, linewidth=2)
        axes.plot(at, row["mean"], "o", color=BLUE, alpha=shade, markersize=3.5)
        if not np.isnan(row["classical"]):
            axes.plot(at, row["classical"], "x", color=INK, markersize=3.5, markeredgewidth=0.8)


def _shade(weight: float) -> float:
    return LIGHTEST + (1 - LIGHTEST) * min(1.0, float(weight) ** 0.5) if weight > 0 else LIGHTEST


def _marks(axes: Any, members: pd.DataFrame, marks: Sequence[tuple[str, str, str]]) -> None:
    for i, (_, axis, value) in enumerate(marks):
        at = np.flatnonzero(members[axis].to_numpy() == value)
        axes.plot(at, np.full(len(at), -i), "s", color=INK, markersize=3)
    axes.set_yticks([-i for i in range(len(marks))], [label for label, _, _ in marks], fontsize=7)
    axes.set_ylim(-len(marks) + 0.4, 0.6)
    axes.set_xticks([])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
