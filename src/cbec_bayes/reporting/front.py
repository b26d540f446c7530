"""The front of a study's report: the answer in a few sentences, the panels that it rests on as a figure and a table."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd

from cbec_bayes.jobs.answers import answer_sentences, answers
from cbec_bayes.jobs.event_sentences import about_pretrends
from cbec_bayes.jobs.evidence import assumed_by, evidence_sentences
from cbec_bayes.jobs.results import StudyResults
from cbec_bayes.published.conclusions import conclude
from cbec_bayes.reporting.drawing import BLUE, GREY, ORANGE, as_svg, label_rows, new_figure
from cbec_bayes.reporting.tables import ReportTable, interval, number, probability, sampled
from cbec_bayes.runtime.labels import CI_PROB, FROM_OBSERVED, Origin, level
from cbec_bayes.specifications.conclusions import NEGATIVE, POSITIVE

SIGNS_A_LINE = 40
"""Signs in a line of the label of a panel in the figure."""


def answer(found: StudyResults) -> tuple[str, ...]:
    """Say what was found and how far to trust it: public statistics first, then the printed table, then its faults.

    Every sentence on a sign is made from evidence.csv or from answers.csv.
    """
    observed = [one for name, one in found.specified.items() if found.classical[name].panel.origin is Origin.OBSERVED]
    said = evidence_sentences(found.evidence, assumed_by(observed)) if observed else ()
    adopted = [sentence for one in found.events.values() for sentence in about_pretrends(one.pretrends)]
    return (*said, *adopted, *printed_answer(found))


def printed_answer(found: StudyResults) -> tuple[str, ...]:
    """Say what the printed table alone settles, and how many of its numbers contradict each other, in two sentences."""
    analysis = found.analysis
    concluded = conclude(analysis.estimates, analysis.result, analysis.sensitivity, analysis.audit)
    return (
        answer_sentences(answers(analysis, found.ensemble))[0],
        f"The printed evidence is weaker than it looks: {concluded.contradicted} of {concluded.coefficients} "
        "coefficients have parentheses that cannot be the standard errors they are said to be.",
    )


def printed_details(found: StudyResults) -> tuple[str, ...]:
    """Say why a sign is open, how large the printed slopes are after partial pooling, and what that says of others."""
    result = found.analysis.result
    sizes = [
        f"{group} {number(one.mean, 2)} ({interval(one.ci_low, one.ci_high)})" for group, one in result.groups.items()
    ]
    new = result.new
    return (
        *answer_sentences(answers(found.analysis, found.ensemble))[1:],
        f"Partial pooling of the printed slopes gives {', '.join(sizes)} under the headline's reading and prior; other "
        "readings and priors give other intervals.",
        f"A region that the table does not show could lie anywhere from {number(new.ci_low, 2)} to "
        f"{number(new.ci_high, 2)}, for {len(result.groups)} regions say little about how far regions differ: τ = "
        f"{number(result.tau.mean, 2)}, {level(CI_PROB)} interval {interval(result.tau.ci_low, result.tau.ci_high)}.",
    )


def evidence_figure(table: pd.DataFrame) -> str | None:
    """Draw the average slope in every observed panel, in within standard deviations; None where none is observed.

    Parameters
    ----------
    table
        evidence.csv; see `cbec_bayes.jobs.evidence.EVIDENCE_COLUMNS`.
    """
    if table.empty:
        return None
    at = np.arange(len(table))[::-1].astype(float)
    settled = table["holds"].isin([POSITIVE, NEGATIVE]).to_numpy()
    with new_figure(0.3 * len(table) + 0.8) as (figure, axes):
        axes.axvline(0, color=GREY, linewidth=0.8)
        for y, row, sure in zip(at, table.to_dict("records"), settled, strict=True):
            colour = ORANGE if sure else BLUE
            axes.hlines(y, row["within_low"], row["within_high"], color=colour, linewidth=2)
            axes.plot(row["within_mean"], y, "D" if sure else "o", color=colour, markersize=5)
        label_rows(axes, at, [wrap(_label(row), SIGNS_A_LINE) for row in table.to_dict("records")])
        axes.set_ylim(-0.7, len(table) - 0.3)
        figure.supxlabel("average slope, in within standard deviations", fontsize=9)
        said = f"{len(table)} panels, the sign settled in {int(settled.sum())}"
        return as_svg(figure, "The average slope in every observed panel", said)


def _label(row: Mapping[Any, Any]) -> str:
    return str(row["label"] or f"{row['study']}: {row['outcome']}")


def evidence_table(table: pd.DataFrame) -> ReportTable:
    """Return evidence.csv as a table for people.

    Parameters
    ----------
    table
        With at least one row.
    """
    rows = tuple(
        (
            _label(row),
            *sampled(row["mean"], row["ci_low"], row["ci_high"], row["mcse"]),
            probability(row["p_positive"]),
            str(row["holds"]),
            f"{row['positive']} / {row['negative']}",
            f"{row['above_zero']} / {row['below_zero']} of {row['lattice']}",
        )
        for row in table.to_dict("records")
    )
    return ReportTable(
        name="evidence",
        caption=(
            "What each observed panel says of the average slope over its units: mean, interval and probability of a "
            "positive slope under the mixture of its specifications; what holds under those that have weight, and how "
            "many of these have a positive and a negative mean; and of all specifications, how many have an interval "
            "above and below zero. Outcomes and exposures have units of their own, so that sizes do not compare."
        ),
        origin=max((Origin(one) for one in table["origin"]), key=FROM_OBSERVED.index),
        columns=(
            "Panel",
            "Mean",
            f"{level(CI_PROB)} interval",
            "P(slope > 0)",
            "Under those with weight",
            "+ / −",
            "Interval above / below zero",
        ),
        rows=rows,
    )
