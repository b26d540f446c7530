"""Do the observations add up: units times periods in each column, and columns that share out the rows of another?"""

from __future__ import annotations

from collections.abc import Iterator

from cbec_bayes.panel.regions import load_scheme
from cbec_bayes.published.audit.finding import Context, Finding
from cbec_bayes.published.facts import Sample
from cbec_bayes.published.intervals import Interval
from cbec_bayes.published.printed import TableColumn
from cbec_bayes.published.readings import Verdict
from cbec_bayes.published.stated import Partition

OTHER_SCHEMES = ("four_regions", "three_regions")


def check_samples(context: Context) -> Iterator[Finding]:
    """Per column and descriptive row: rows = units x periods. Per partition: the parts' rows sum to the whole's."""
    facts = context.paper.facts
    for key, column in context.paper.columns.items():
        sample = context.samples[key]
        if sample.n_obs is not None:
            yield _balance(
                table=column.table,
                column=column.name,
                n_obs=sample.n_obs,
                units=sample.units,
                periods=sample.periods,
                group=sample.group,
                is_balanced=_panel_is_balanced(context),
            )
            yield from _clusters(column, sample)
    for row in context.paper.full_sample.values():
        if row.n_obs is not None:
            n_obs = int(row.n_obs.value)
            yield _balance(
                table=row.table,
                term=row.term,
                n_obs=n_obs,
                units=facts.units,
                periods=facts.periods,
                is_balanced=_panel_is_balanced(context),
            )
    for partition in facts.partitions:
        yield from _partition(context, partition)


def _balance(
    *,
    table: str,
    column: str = "",
    term: str = "",
    n_obs: int,
    units: int | None,
    periods: int | None,
    group: str | None = None,
    is_balanced: bool = False,
) -> Finding:
    if units is None or periods is None:
        missing = "units" if units is None else "periods"
        detail = f"{n_obs} observations; the number of {missing} is not known."
        return Finding(
            table=table,
            column=column,
            term=term,
            check="observations",
            verdict=Verdict.UNDETERMINED,
            interval=None,
            quantity="observations",
            detail=detail,
        )
    full = units * periods
    where = f" of {group}" if group else ""
    if n_obs == full:
        verdict, detail = Verdict.PASS, f"{n_obs} = {units} units{where} × {periods} periods."
    elif n_obs > full:
        verdict, detail = (
            Verdict.FAIL,
            f"{n_obs} observations, more than {units} units{where} × {periods} periods = {full}.",
        )
    else:
        detail = (
            f"{n_obs} observations where {units} units{where} × {periods} periods make {full}: {full - n_obs} short"
        )
        if group is not None and is_balanced:  # all rows of the panel are there, and so are those of a group
            verdict, detail = Verdict.FAIL, detail + "."
        else:
            verdict, detail = Verdict.UNDETERMINED, f"{detail}, {_explained(n_obs, units, periods)}."
    return Finding(
        table=table,
        column=column,
        term=term,
        check="observations",
        verdict=verdict,
        interval=Interval(full, full),
        quantity="observations expected",
        detail=detail,
    )


def _panel_is_balanced(context: Context) -> bool:
    """Whether a column or a descriptive row of the whole panel has every unit in every period."""
    facts = context.paper.facts
    if facts.units is None or facts.periods is None:
        return False
    counts = [s.n_obs for s in context.samples.values() if s.group is None]
    counts += [int(row.n_obs.value) for row in context.paper.full_sample.values() if row.n_obs is not None]
    return facts.units * facts.periods in counts


def _explained(n_obs: int, units: int, periods: int) -> str:
    """Say what would explain rows that are missing."""
    lost = periods - n_obs // units if n_obs % units == 0 else 0
    if 0 < lost < periods:
        return f"as a lag or a difference of {lost} period{'s' if lost > 1 else ''} would explain"
    return "as an unbalanced panel or missing values would explain"


def _clusters(column: TableColumn, sample: Sample) -> Iterator[Finding]:
    """Clusters are sets of rows, and most often of units."""
    clusters = column.numbers.get("clusters")
    if clusters is None or sample.n_obs is None:
        return
    count, verdict = int(clusters.value), Verdict.PASS
    detail = f"{count} clusters of {sample.n_obs} observations are possible."
    if count > sample.n_obs:
        verdict, detail = Verdict.FAIL, f"There are {count} clusters, more than {sample.n_obs} observations."
    elif sample.units is not None and count > sample.units:
        verdict = Verdict.UNDETERMINED
        detail = (
            f"There are {count} clusters, more than {sample.units} units: they are not the units, nor sets of them."
        )
    yield Finding(
        table=column.table,
        column=column.name,
        term="",
        check="clusters",
        verdict=verdict,
        interval=Interval(count, count),
        quantity="clusters",
        detail=detail,
    )


def _partition(context: Context, partition: Partition) -> Iterator[Finding]:
    paper = context.paper
    parts = [paper.columns[key] for key in partition.parts]
    counts = [context.samples[key].n_obs for key in partition.parts]
    if partition.whole is not None:
        whole = context.samples[partition.whole].n_obs
    else:
        units, periods = paper.facts.units, paper.facts.periods
        whole = units * periods if units and periods else None
    table, heads = parts[0].table, " + ".join(part.name for part in parts)
    if whole is None or any(count is None for count in counts):
        detail = f"The observations of {heads} or of the whole are not printed."
        yield Finding(
            table=table,
            column=heads,
            term="",
            check="observations_sum",
            verdict=Verdict.UNDETERMINED,
            interval=None,
            quantity="observations",
            detail=detail,
        )
        return
    known = [count for count in counts if count is not None]
    total = sum(known)
    short = whole - total
    detail = f"{' + '.join(map(str, known))} = {total} of {whole} observations"
    if short == 0:
        verdict, detail = Verdict.PASS, detail + "."
    elif short < 0:
        verdict, detail = Verdict.FAIL, detail + f": {-short} counted twice."
    else:
        missing = _missing(context, partition, short)
        if _same_rows(context, partition):
            verdict, detail = Verdict.FAIL, f"{detail}: {short} are missing, and the paper does not say why. {missing}"
        else:
            why = "as an unbalanced panel, a lag, or other regressors would explain"
            verdict, detail = Verdict.UNDETERMINED, f"{detail}: {short} are missing, {why}. {missing}"
    yield Finding(
        table=table,
        column=heads,
        term="",
        check="observations_sum",
        verdict=verdict,
        interval=Interval(total, total),
        quantity="observations",
        detail=detail.strip(),
    )


def _same_rows(context: Context, partition: Partition) -> bool:
    """Whether nothing but the parts themselves can lose rows of the whole.

    That is so where the whole is a column with the regressors of its parts, or a panel that is known to be balanced.
    """
    if partition.whole is None:
        return _panel_is_balanced(context)
    columns = context.paper.columns
    whole = set(columns[partition.whole].coefficients)
    return all(set(columns[key].coefficients) <= whole for key in partition.parts)


def _missing(context: Context, partition: Partition, short: int) -> str:
    """Say which groups of the scheme no column shows, and whether their rows are the missing ones."""
    facts, scheme, periods = context.paper.facts, context.scheme, context.paper.facts.periods
    if scheme is None or periods is None:
        return ""
    shown = {facts.groups.get(key) for key in partition.parts}
    absent = [group for group in scheme.groups if group not in shown]
    units = [unit for group in absent for unit in scheme.members(group)]
    if len(units) * periods != short:
        return f"The groups of '{scheme.name}' that have no column do not explain them."
    sentence = f"They are the {', '.join(absent)} ({', '.join(units)}; {len(units)} units × {periods} periods)"
    for name in OTHER_SCHEMES:
        other = load_scheme(name)
        if name != scheme.name and set(scheme.group_of) <= set(other.group_of):
            other = other.without([unit for unit in other.group_of if unit not in scheme.group_of])
            sizes = [len(other.members(group)) * periods for group in other.groups]
            sentence += f"; under the scheme '{name}' the columns would have {', '.join(map(str, sizes))} rows"
    return sentence + "."
