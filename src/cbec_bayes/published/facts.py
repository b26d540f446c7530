"""What is known of each column's sample: rows, units, clusters; from print, from paper.toml or from a scheme."""

from __future__ import annotations

from dataclasses import dataclass

from cbec_bayes.panel.regions import Scheme, load_scheme
from cbec_bayes.published.described import describe
from cbec_bayes.published.printed import Paper, TableColumn
from cbec_bayes.published.readings import UNKNOWN_DF, DfRange
from cbec_bayes.published.stated import Facts


@dataclass(frozen=True, slots=True)
class Sample:
    """The sample behind one column.

    Attributes
    ----------
    n_obs, units, periods
        Sizes, None where nothing tells.
    group
        Group of the scheme, None for a column of the whole panel.
    df
        Range of degrees of freedom of the t reference.
    """

    n_obs: int | None
    units: int | None
    periods: int | None
    group: str | None
    df: DfRange


def paper_scheme(facts: Facts) -> Scheme | None:
    """Return the scheme that the facts name, without the excluded units."""
    return load_scheme(facts.scheme).without(facts.excluded) if facts.scheme else None


def sample_of(column: TableColumn, paper: Paper, scheme: Scheme | None) -> Sample:
    """Collect what is known of a column's sample.

    Degrees of freedom are the clusters less one where standard errors are known to be clustered. Elsewhere they lie
    between that and the rows less the printed parameters, which is what independent errors have.

    The units are the printed ones, else the members of the column's group, else those of the panel. The clusters are
    the printed ones, else the units, else rows over periods where that divides: that they multiply to the rows says
    nothing then, and so they are not units.
    """
    facts, numbers, said = paper.facts, column.numbers, describe(column, paper.facts)
    n_obs = _count(column, "n_obs")
    periods = _count(column, "periods") or facts.periods
    group = facts.groups.get(column.key)
    units = _count(column, "units")
    if units is None and group is not None and scheme is not None:
        units = len(scheme.members(group))
    in_partition = any(column.key in partition.parts for partition in facts.partitions)
    if units is None and group is None and not in_partition:
        units = facts.units
    printed = _count(column, "clusters") or said.clusters
    clusters = printed or units
    if clusters is None and n_obs and periods and n_obs % periods == 0:
        clusters = n_obs // periods
    if "df" in numbers:
        df: DfRange = (float(numbers["df"].value),) * 2
    elif clusters is not None and clusters > 1 and (printed is not None or said.clustered):
        df = (float(clusters - 1),) * 2
    else:
        low = float(clusters - 1) if clusters is not None and clusters > 1 else UNKNOWN_DF[0]
        high = max(low, float(n_obs - len(column.coefficients))) if n_obs is not None else UNKNOWN_DF[1]
        df = (low, high)
    return Sample(n_obs, units, periods, group, df)


def tables_without_stars(paper: Paper) -> frozenset[str]:
    """Return the tables that print no star and state no levels: a number without stars claims nothing there."""
    silent = {column.table for column in paper.columns.values()}
    for column in paper.columns.values():
        if describe(column, paper.facts).stars_stated or any(one.stars for one in column.coefficients.values()):
            silent.discard(column.table)
    return frozenset(silent)


def _count(column: TableColumn, quantity: str) -> int | None:
    number = column.numbers.get(quantity)
    return None if number is None else int(number.value)
