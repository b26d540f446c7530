"""The checks of the report: one sentence each, their figures, and every member against the predictive ones."""

from __future__ import annotations

from collections.abc import Sequence

from cbec_bayes.checks import CheckResult, by_severity
from cbec_bayes.checks.suite import CHECKS, title_of
from cbec_bayes.jobs.study import StudyFits
from cbec_bayes.reporting.checkfigures import draw
from cbec_bayes.reporting.tables import ReportTable, number, spread_decimals
from cbec_bayes.runtime.labels import GROUP_ALL, Origin


def check_tables(name: str, fits: StudyFits, digits: int = 3) -> list[ReportTable]:
    """Return the headline's checks, which member passes which predictive check, and the headline beside regressions."""
    every = checks_table(
        f"{name}_checks",
        fits.checks,
        "Checks of the headline model, the severest first: what they find is about the model or the data, said here so "
        "that the numbers above are read with it.",
        fits.origin,
    )
    return [every, _members_table(name, fits), _agreement_table(name, fits, digits)]


def checks_table(name: str, results: Sequence[CheckResult], caption: str, origin: Origin) -> ReportTable:
    """Return checks with how much they matter and what they found as a table, the severest first."""
    return ReportTable(
        name=name,
        caption=caption,
        origin=origin,
        columns=("Check", "How much it matters", "What was found"),
        rows=tuple((title_of(one.name), str(one.severity), one.text) for one in by_severity(results)),
    )


def _members_table(name: str, fits: StudyFits) -> ReportTable:
    members = fits.member_checks
    checks = list(dict.fromkeys(members["check"]))
    rows = []
    for model in fits.questions:
        severity = members[members["model"] == model].set_index("check").loc[checks, "severity"]
        rows.append((model, *severity))
    return ReportTable(
        name=f"{name}_member_checks",
        caption="What each member of the family replicates: its predictive checks, and how much they matter.",
        origin=fits.origin,
        columns=("Model", *(title_of(check) for check in checks)),
        rows=tuple(rows),
    )


def _agreement_table(name: str, fits: StudyFits, digits: int) -> ReportTable:
    rows = tuple(
        (
            f"{row['term']}, {'all rows' if row['column'] == GROUP_ALL else row['column']}",
            f"{number(row['estimate'], digits)} ({number(row['crv1_se'], digits)})",
            number(row["cr2_se"], digits) or "–",
            number(row["crv3_se"], digits) or "–",
            number(row["wild_p"], 3) or "–",
            _mean_and_sd(row["mean"], row["sd"], row["mcse"], digits),
            number(row["apart"], 1),
            row["why"],
        )
        for check in fits.checks
        if check.name == "agreement"
        for row in check.table.to_dict("records")
    )
    return ReportTable(
        name=f"{name}_agreement",
        caption=(
            "Classical estimates and the headline model's posterior, term by term. Apart: posterior mean less "
            "estimate, in posterior standard deviations. CR2 has its bias reduced, CRV3 is the jackknife; the last "
            "column says why a pair parts."
        ),
        origin=fits.origin,
        columns=("Term", "Estimate (CRV1)", "CR2", "CRV3", "Wild p", "Posterior (sd)", "Apart", "Why they part"),
        rows=rows,
    )


def _mean_and_sd(mean: float, sd: float, mcse: float, digits: int) -> str:
    decimals = min(digits, spread_decimals(sd, mcse))
    return f"{number(mean, decimals)} ({number(sd, decimals)})"


def check_figures(name: str, fits: StudyFits, exposure: str) -> dict[str, str]:
    """Draw the checks of a study that have a figure, by name of the drawing, those shown at once first."""
    shown = {check.name for check in CHECKS if check.shown}
    drawn = {}
    for check in sorted(fits.checks, key=lambda check: check.name not in shown):
        drawing = draw(check, f"{title_of(check.name)}, {name}", exposure)
        if drawing is not None:
            drawn[f"{check.name}_{name}"] = drawing.svg()
    return drawn
