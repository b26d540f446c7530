"""Is the constant the mean of the outcome less slopes times means of the regressors?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

from cbec_bayes.published.audit.finding import Context, Finding, span
from cbec_bayes.published.intervals import Interval
from cbec_bayes.published.printed import Coefficient, Moments, TableColumn
from cbec_bayes.published.readings import Verdict

CONSTANT_TERMS = ("constant", "const", "_cons", "intercept", "(intercept)")


def check_constant(context: Context) -> Iterator[Finding]:
    """Per column with a constant: compare it with mean(y) - sum of slope × mean(x), from the descriptive table.

    This is the constant where the fixed effects average to zero over the sample (areg, reghdfe, fixest's convention
    when asked). For a column of a part of the sample, the means are bounded by the minimum and maximum and by what
    they leave to the other rows.
    """
    moments, outcome = context.paper.full_sample, context.paper.facts.outcome
    if not moments or outcome is None:
        return
    for key, column in context.paper.columns.items():
        constant = next((c for term, c in column.coefficients.items() if term.lower() in CONSTANT_TERMS), None)
        if constant is not None:
            n_obs = context.samples[key].n_obs
            yield _finding(context, column, constant, moments=moments, outcome=outcome, n_obs=n_obs)


def _finding(
    context: Context,
    column: TableColumn,
    constant: Coefficient,
    *,
    moments: Mapping[str, Moments],
    outcome: str,
    n_obs: int | None,
) -> Finding:
    def finding(verdict: Verdict, interval: Interval | None, detail: str) -> Finding:
        return Finding(
            table=column.table,
            column=column.name,
            term=constant.term,
            check="constant",
            verdict=verdict,
            interval=interval,
            quantity="constant expected",
            detail=detail,
            doubt=True,  # another normalisation of the effects may explain it
        )

    slopes = {term: cell for term, cell in column.coefficients.items() if cell is not constant}
    means = {term: mean_in_part(moments.get(term), n_obs) for term in (outcome, *slopes)}
    unknown = [context.paper.facts.label(term) for term, mean in means.items() if mean is None]
    if unknown:
        return finding(Verdict.UNDETERMINED, None, f"The means of {', '.join(unknown)} are not known for these rows.")

    expected = means[outcome]
    assert expected is not None
    for term, cell in slopes.items():
        mean = means[term]
        if mean is not None:
            expected = expected - cell.estimate.interval * mean
    printed = constant.estimate.interval
    full = n_obs is not None and all(_is_full(moments[term], n_obs) for term in means)
    formula = "mean(y) − sum of slope × mean(x)"
    if not printed.intersects(expected):
        detail = f"The constant {constant.estimate} is not {formula} = {span(expected)}"
        if (-printed).intersects(expected):
            detail += f", though {-constant.estimate.value} would be"
        detail += "; it would need effects that are measured against a base unit or year."
        return finding(Verdict.FAIL, expected, detail)
    if full:
        return finding(Verdict.PASS, expected, f"The constant {constant.estimate} is {formula} = {span(expected)}.")
    detail = (
        f"The means of these rows are not printed; bounded by the table of the full sample, {formula} lies within "
        f"{span(expected)}, which does not exclude {constant.estimate}."
    )
    return finding(Verdict.UNDETERMINED, expected, detail)


def _is_full(row: Moments, n_obs: int) -> bool:
    return row.n_obs is not None and int(row.n_obs.value) == n_obs


def mean_in_part(row: Moments | None, n_obs: int | None) -> Interval | None:
    """Return the possible means of a variable over `n_obs` of the rows of a descriptive table; None if unknown.

    The rest of the rows must still have a mean between the minimum and the maximum.
    """
    if row is None or row.mean is None or row.n_obs is None or n_obs is None:
        return None
    total = int(row.n_obs.value)
    if n_obs == total:
        return row.mean.interval
    if n_obs > total or row.min is None or row.max is None:
        return None
    if row.min.interval.low > row.max.interval.high:
        return None
    values = Interval(row.min.interval.low, row.max.interval.high)
    whole, part, rest = Fraction(total), Fraction(n_obs), Fraction(total - n_obs)
    left = (row.mean.interval * Interval(whole, whole) - values * Interval(rest, rest)) * Interval(1 / part, 1 / part)
    return values.intersection(left) if values.intersects(left) else None
