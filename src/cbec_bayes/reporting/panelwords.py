"""What the page of a panel says in sentences: its question, its answer, what both rest on, and what checks found."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from cbec_bayes.checks import Severity, by_severity
from cbec_bayes.checks.suite import title_of
from cbec_bayes.estimands import leaves_zero_out
from cbec_bayes.jobs.difference_sentences import difference_sentences
from cbec_bayes.jobs.fit_tables import FittedPanel
from cbec_bayes.jobs.report import ReportedFit
from cbec_bayes.reporting.pageoptions import DEFAULT, PageOptions
from cbec_bayes.reporting.tables import probability_in_words, with_interval
from cbec_bayes.runtime.labels import GROUP_ALL, GROUP_AVERAGE, NO_GROUPS, level
from cbec_bayes.specifications.conclusions import conclusion_sentences

_CORRELATIONS = {
    "off": "errors are independent of each other, given the effects in the model",
    "ar1": "the errors of a unit are correlated over time, and the correlation fades at one rate (AR(1))",
    "random_walk": "the error of a unit is a random walk, so that only changes from one period to the next count",
}
_SPREADS = {"by_group": "the size of errors differs between groups"}
_SHAPES = {"student_t": "errors have heavy tails"}

EFFECTS = {
    Severity.CHANGES: "These change the answer: a settled sign turns or is no longer settled, or the mean leaves the "
    "interval that is shown.",
    Severity.WIDENS: "These make the answer less certain: an interval becomes more than one and a half times as wide.",
    Severity.KNOWING: "These move a slope or an interval, and do not change the answer.",
    Severity.FINE: "These change nothing that matters.",
    Severity.IDLE: "These do not apply to this model or to this panel, for the reason stated.",
}
"""What a finding of each severity does to the answer."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What checks of one severity found.

    Attributes
    ----------
    severity
        The severity that all of them have.
    effect
        What that does to the answer.
    found
        Title and sentence of each.
    """

    severity: Severity
    effect: str
    found: tuple[tuple[str, str], ...]

    @property
    def matters(self) -> bool:
        """Whether the answer does not stand as it is."""
        return self.severity in (Severity.CHANGES, Severity.WIDENS)


def page_title(fitted: FittedPanel, asked: PageOptions = DEFAULT) -> str:
    """Return the question of the page, in the words for the columns."""
    design = fitted.fit.design
    return f"How does {asked.label(design.outcome)} move with {asked.label(design.terms[0])}?"


def groups_question(fitted: FittedPanel, asked: PageOptions = DEFAULT) -> str:
    """Ask how far groups differ; a blank where there are fewer than two."""
    n_groups = len(fitted.fit.design.groups)
    if n_groups < 2:
        return ""
    column = None if fitted.panel is None else fitted.panel.roles.group
    of = f" of {asked.label(column)}" if column else ""
    return f"And how far does that differ between the {n_groups} groups{of}?"


def panel_answer(found: ReportedFit, asked: PageOptions = DEFAULT) -> tuple[str, ...]:
    """Say what holds under every specification, what the fitted member says, what checks say, and if groups differ.

    Each paragraph says under which model its numbers are, so that no two contradict each other. Of groups nothing is
    said where there are none.
    """
    fitted = found.fitted
    beside = () if fitted.neighbours is None else fitted.neighbours.said
    first = " ".join([_average_sentence(fitted, asked), *beside])
    regressed = fitted.slope_regression
    characteristics = () if regressed is None else (" ".join(regressed.said),)
    sentences = (*_lattice_sentence(found, asked), first, errors_sentence(fitted, asked), _checks_sentence(found))
    return *sentences, *_groups_sentence(fitted), *characteristics, *_differences_sentence(found, asked)


def check_findings(found: ReportedFit) -> tuple[Findings, ...]:
    """Return what checks found, the severest first."""
    results = by_severity(found.checks.results)
    told = []
    for severity, effect in EFFECTS.items():
        own = tuple((title_of(one.name), one.text) for one in results if one.severity is severity)
        told += [Findings(severity, effect, own)] if own else []
    return tuple(told)


def _lattice_sentence(found: ReportedFit, asked: PageOptions) -> tuple[str, ...]:
    """Say what becomes of the average slope under every specification; nothing where these were not weighed."""
    specified = found.compared.specified
    if specified is None or specified.conclusions.empty:
        return ()
    own = specified.conclusions[specified.conclusions["group"] == GROUP_AVERAGE]
    return (" ".join(conclusion_sentences(own, specified.exposure, specified.ci)),)


def _row(fitted: FittedPanel, group: str) -> Mapping[Hashable, Any]:
    return next(row for row in fitted.effects.to_dict("records") if row["group"] == group)


def _slope(fitted: FittedPanel, group: str) -> str:
    row = _row(fitted, group)
    return with_interval(row["mean"], row["ci_low"], row["ci_high"], row["mcse"])


def _average_sentence(fitted: FittedPanel, asked: PageOptions) -> str:
    row, design = _row(fitted, GROUP_AVERAGE), fitted.fit.design
    held = " and the other regressors stay as they are" if design.controls else ""
    return (
        f"When {asked.label(design.terms[0])} rises by one{held}, {asked.label(design.outcome)} moves by "
        f"{_slope(fitted, GROUP_AVERAGE)} on average over the {len(design.units)} units of the panel: this is the "
        f"slope with its {level(fitted.options.ci)} interval under the model {fitted.fit.model.name}. The probability "
        f"that it is positive is {probability_in_words(row['p_positive'])}."
    )


def errors_sentence(fitted: FittedPanel, asked: PageOptions = DEFAULT) -> str:
    """Say what standard errors are clustered by, and what the posterior assumes of the errors instead."""
    design, model = fitted.fit.design, fitted.fit.model
    unit = "unit" if fitted.panel is None else asked.label(fitted.panel.roles.unit)
    sets = [(asked.label(one.name), len(one.labels)) for one in design.clusters] or [(unit, len(design.units))]
    names = " and ".join(name for name, _ in sets)
    counts = " and ".join(f"{n} clusters of {name}" if len(sets) > 1 else f"{n} clusters" for name, n in sets)
    parts = [_CORRELATIONS.get(model.choice("correlation"), "")]
    parts += [_SPREADS.get(model.choice("spread"), ""), _SHAPES.get(model.choice("residual"), "")]
    assumed = "; ".join(part for part in parts if part) or "errors are as its file says"
    return (
        f"Standard errors of the regressions are clustered by {names} ({counts}): errors of one cluster may be "
        f"correlated in any way. The posterior is not clustered. It assumes instead that {assumed}."
    )


def _groups_sentence(fitted: FittedPanel) -> tuple[str, ...]:
    effects = fitted.effects.dropna(subset=["mean"]).set_index("group")
    groups = effects.drop(index=[group for group in NO_GROUPS if group in effects.index])
    n_groups = len(fitted.fit.design.groups)
    if n_groups < 2:
        return ()
    if len(groups) < 2 or fitted.fit.model.choice("group_slope") == "off":
        return (f"The model {fitted.fit.model.name} gives all {n_groups} groups one slope.",)
    general = ""
    if fitted.fit.model.choice("group_slope") == "pooled":
        general = (
            " The slope of groups in general, of which these groups are taken as a sample, is "
            f"{_slope(fitted, GROUP_ALL)}."
        )
    largest, smallest = str(groups["mean"].idxmax()), str(groups["mean"].idxmin())
    leaving = int(leaves_zero_out(groups).sum())
    verb = "leaves" if leaving == 1 else "leave"
    return (
        f"Among the {len(groups)} groups the largest slope is that of group {largest}, {_slope(fitted, largest)}, "
        "and the "
        f"smallest that of group {smallest}, {_slope(fitted, smallest)}. {leaving or 'None'} of the {len(groups)} "
        "intervals "
        f"{verb} zero out.{general}",
    )


def _differences_sentence(found: ReportedFit, asked: PageOptions) -> tuple[str, ...]:
    table = found.compared.differences
    if table.empty:
        return ()
    fit = found.fitted.fit
    said = difference_sentences(table, asked.label(fit.design.terms[0]), fit.model.name, found.fitted.options.ci)
    return (" ".join(said),)


def _checks_sentence(found: ReportedFit) -> str:
    results = by_severity(found.checks.results)
    tried = [one for one in results if one.severity is not Severity.IDLE]
    words = {
        Severity.CHANGES: ("changes the answer", "change the answer"),
        Severity.WIDENS: ("widens it", "widen it"),
        Severity.KNOWING: ("is worth knowing", "are worth knowing"),
        Severity.FINE: ("is fine", "are fine"),
    }
    parts = []
    for severity, (one, many) in words.items():
        names = [title_of(result.name).lower() for result in tried if result.severity is severity]
        listed = f" ({'; '.join(names)})" if names and severity is not Severity.FINE else ""
        parts += [f"{len(names)} {one if len(names) == 1 else many}{listed}"] if names else []
    total = "1 check was" if len(tried) == 1 else f"{len(tried)} checks were"
    said = f"{total} made: {', '.join(parts)}." if parts else "No check applies."
    if tried and tried[0].severity in (Severity.CHANGES, Severity.WIDENS, Severity.KNOWING):
        verb = "widens the answer" if tried[0].severity is Severity.WIDENS else words[tried[0].severity][0]
        said = f"The check “{title_of(tried[0].name)}” {verb}: {tried[0].text} {said}"
    idle = len(results) - len(tried)
    if idle:
        do = "does" if idle == 1 else "do"
        said += f" {idle} more {do} not apply to this model or to this panel."
    return said
