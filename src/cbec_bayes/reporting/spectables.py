"""Specifications as tables for people: the mixture, the members with most weight, and what each assumes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from cbec_bayes.jobs.specifications import Specified
from cbec_bayes.reporting.drawing import GROUP_TITLES
from cbec_bayes.reporting.tables import ReportTable, number, percent, probability, sampled, with_interval
from cbec_bayes.runtime.labels import FROM_OBSERVED, GROUP_AVERAGE, GROUP_NEW, Origin, level
from cbec_bayes.specifications.lattice import ALTERNATIVE
from cbec_bayes.specifications.mixture import WEIGHTY

SHOWN = 8
"""Members that the page shows, those with most weight; specifications.csv has all."""


def specification_tables(name: str, found: Specified) -> list[ReportTable]:
    """Return slopes under the mixture of specifications, and under those that have most weight.

    Parameters
    ----------
    name
        Name of the study, before the names of the tables; blank for a panel of one's own.
    found
        What `cbec_bayes.jobs.specifications.specify` found.
    """
    main = found.of_main
    tables = [_mixture_table(name, main), _members_table(name, main)]
    return [*tables, _alternatives_table(name, found)] if found.alternatives else tables


def _mixture_table(name: str, found: Specified) -> ReportTable:
    concluded = {(row["group"], row["outcome_scale"]): row for row in found.conclusions.to_dict("records")}
    rows, several, ci = [], _has_scales(found), level(found.ci)
    for row in found.mixture.to_dict("records"):
        own = concluded[row["group"], row["outcome_scale"]]
        scale = f", {row['outcome_scale']}" if several else ""
        rows.append(
            (
                f"{GROUP_TITLES.get(row['group'], row['group'])}{scale}",
                *sampled(row["mean"], row["ci_low"], row["ci_high"], row["mcse"]),
                probability(row["p_positive"]),
                f"{own['positive']} / {own['negative']}",
                f"{own['lattice_positive']} / {own['lattice'] - own['lattice_positive']}",
                f"{number(own['lattice_low'], 3)} to {number(own['lattice_high'], 3)}",
            )
        )
    return ReportTable(
        name=f"{name}_mixture" if name else "mixture",
        caption=(
            "Slope of the exposure under the mixture of all specifications. A specification has the more weight the "
            "better it predicts units that are left out (stacking). The interval is equal-tailed, with "
            f"{ci} probability. “With weight, + / −” counts the specifications with a weight of {percent(WEIGHTY)} or "
            "more whose mean is positive and negative; “All, + / −” counts all specifications, and the last column has "
            "the range of their means."
        ),
        origin=Origin(found.mixture["origin"].iloc[0]),
        columns=(
            "Slope",
            "Mean",
            f"{level(found.ci)} interval",
            "P(slope > 0)",
            "With weight, + / −",
            "All, + / −",
            "Means of all",
        ),
        rows=tuple(rows),
    )


def _members_table(name: str, found: Specified) -> ReportTable:
    table = found.specifications[found.specifications["gate"] == ""]
    groups = [group for group in dict.fromkeys(table["group"]) if group != GROUP_NEW]
    weights = table.drop_duplicates(["member", "outcome_scale"]).sort_values("weight", ascending=False, kind="stable")
    rows = []
    for member, scale in weights[["member", "outcome_scale"]].head(SHOWN).itertuples(index=False):
        own = table[(table["member"] == member) & (table["outcome_scale"] == scale)].set_index("group")
        first = own.iloc[0]
        rows.append(
            (
                f"{member}, {scale}" if _has_scales(found) else member,
                number(first["weight"], 2),
                _known(first["log_evidence"], 1),
                f"{number(first['elpd_unit'], 1)} ({number(first['elpd_unit_se'], 1)})",
                *(_slope(own.loc[group].to_dict()) for group in groups),
            )
        )
    return ReportTable(
        name=f"{name}_specifications_shown" if name else "specifications_shown",
        caption=(
            f"The specifications with most weight, out of {len(weights)}: weight by stacking, log evidence, log "
            "density "
            f"of units left out (with its standard error over units), and the slopes with {level(found.ci)} intervals. "
            "A specification is named after the terms that it has beyond the simplest one, which is called plain. "
            "specifications.csv has all of them and what each assumes."
        ),
        origin=Origin(table["origin"].iloc[0]),
        columns=(
            "Specification",
            "Weight",
            "Log evidence",
            "Units left out",
            *(GROUP_TITLES.get(group, group) for group in groups),
        ),
        rows=tuple(rows),
    )


def _alternatives_table(name: str, found: Specified) -> ReportTable:
    average = found.mixture[found.mixture["group"] == GROUP_AVERAGE]
    concluded = found.conclusions[found.conclusions["group"] == GROUP_AVERAGE].set_index(ALTERNATIVE)
    rows = []
    for row in average[average[ALTERNATIVE].isin(found.alternatives)].to_dict("records"):
        own = concluded.loc[row[ALTERNATIVE]]
        rows.append(
            (
                found.alternatives[row[ALTERNATIVE]],
                *sampled(row["mean"], row["ci_low"], row["ci_high"], row["mcse"]),
                probability(row["p_positive"]),
                number(row["complete_pooling"], 3),
                f"{own['positive']} / {own['negative']}",
                f"{own['lattice_positive']} / {own['lattice'] - own['lattice_positive']}",
            )
        )
    return ReportTable(
        name=f"{name}_alternatives" if name else "alternatives",
        caption=(
            "The average slope in other panels that ask the same question, each under the mixture of its own "
            "specifications, eight at most. The last columns count how many specifications with weight, and how many "
            "of all, have a positive and a negative mean. Slopes of different outcomes and exposures have different "
            "units."
        ),
        origin=max((Origin(one) for one in average["origin"]), key=FROM_OBSERVED.index),
        columns=(
            "What differs",
            "Mean",
            f"{level(found.ci)} interval",
            "P(slope > 0)",
            "Regression",
            "With weight, + / −",
            "All, + / −",
        ),
        rows=tuple(rows),
    )


def _has_scales(found: Specified) -> bool:
    """Whether the logarithm of the outcome is shown beside the outcome."""
    return len(set(found.mixture["outcome_scale"])) > 1


def _slope(row: Mapping[Hashable, Any]) -> str:
    return with_interval(row["mean"], row["ci_low"], row["ci_high"], row["mcse"])


def _known(value: float, digits: int) -> str:
    return "–" if np.isnan(value) else number(value, digits)


def specification_frames(name: str, found: Specified) -> dict[str, pd.DataFrame]:
    """Return the tables of `cbec-bayes specifications` as results, by the name of the file."""
    return {
        f"{name}_specifications": found.specifications,
        f"{name}_mixture": found.mixture,
        f"{name}_conclusions": found.conclusions,
    }
