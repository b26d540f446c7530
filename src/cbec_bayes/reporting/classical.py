"""The classical tables of the report: replicated beside printed, and inference from few clusters."""

from __future__ import annotations

import math

from cbec_bayes.classical.few import jackknife_ratios
from cbec_bayes.replication import Replication, label_of, shown_tables
from cbec_bayes.reporting.tables import ReportTable, interval, number, probability
from cbec_bayes.runtime.labels import Origin


def classical_tables(replication: Replication) -> list[ReportTable]:
    """Return a study's descriptive and regression tables, and its exposure's slope under few-cluster inference."""
    name, origin = replication.study.name, replication.panel.origin
    printed = replication.paper is not None
    tables = []
    for title, frame in shown_tables(replication):
        rows = tuple(tuple(str(cell) for cell in row) for row in frame.to_numpy().tolist())
        caption = f"{title}, computed from the panel"
        if printed:
            caption += (
                "; in brackets what is printed: = met to the last digit, ~ allowed by the rounding of the inputs, "
            )
            caption += "≠ not met"
        tables.append(
            ReportTable(
                name=f"{name}_{title.lower().replace('table ', 'table').replace(' ', '_')}",
                caption=caption + "." + (_origins(replication) if "Mean" in frame.columns else ""),
                origin=origin,
                columns=tuple(str(column) for column in frame.columns),
                rows=rows,
                marks=tuple(tuple("fail" if "[≠" in cell else "" for cell in row) for row in rows) if printed else (),
            )
        )
    return [*tables, _few(replication, origin)]


def jackknife_sentence(replication: Replication) -> str:
    """Say how much larger the jackknife's standard errors of the exposure's slope are than the clustered ones."""
    known = jackknife_ratios(replication.few, replication.panel.roles.exposure)
    if not known:
        return ""
    largest = max(known, key=lambda key: known[key])
    return (
        f"The jackknife's standard error is {min(known.values()):.1f} to {known[largest]:.1f} times the clustered one, "
        f"most in column {largest}: the fewer the clusters, the less the clustered one can be believed."
    )


def _origins(replication: Replication) -> str:
    """Say which rows of a descriptive table with several origins are observed."""
    origins = replication.panel.origins
    if len(set(origins.values())) == 1:
        return ""
    label = label_of(replication)
    made = [label(term) for term, origin in origins.items() if origin is not Origin.OBSERVED]
    return f" {' and '.join(made)}: {replication.panel.origin}; the other columns of the panel are observed."


def _few(replication: Replication, origin: Origin) -> ReportTable:
    exposure = replication.panel.roles.exposure
    rows = []
    for column in replication.columns:
        found = replication.few.get(column.spec.key)
        if found is None or exposure not in found.regression.terms:
            continue
        fit = found.regression
        k = fit.terms.index(exposure)
        rows.append(
            (
                f"Table {column.spec.table} {column.spec.name}",
                str(fit.n_units),
                number(fit.estimate[k], 3),
                f"{number(fit.se[k], 3)} ({_p(fit.p[k])})",
                _error(found.cr2_se[k], found.cr2_p[k]),
                _error(found.crv3_se[k], found.crv3_p[k]),
                _p(found.wild_p[k]),
                _ends(*found.wild_interval[k]),
            )
        )
    return ReportTable(
        name=f"{replication.study.name}_few",
        caption=(
            f"Slope of {label_of(replication)(exposure)} with few clusters: standard errors with p-values by the usual "
            "cluster-robust formula (CRV1), with its bias reduced and Satterthwaite degrees of freedom (CR2), and "
            "by the "
            "jackknife (CRV3); the p-value of the wild cluster bootstrap and the 95 % interval that it implies."
        ),
        origin=origin,
        columns=("Column", "Clusters", "Slope", "CRV1", "CR2", "CRV3", "Wild bootstrap", "95 % interval"),
        rows=tuple(rows),
    )


def _error(se: float, p: float) -> str:
    return f"{number(se, 3)} ({_p(p)})" if se > 0 else "not defined"


def _ends(low: float, high: float) -> str:
    if math.isnan(low):
        return "not defined"
    return "unbounded" if math.isinf(high - low) else interval(low, high, 3)


def _p(value: float) -> str:
    """Write a p-value, which unlike the posterior probabilities of the report is one."""
    if math.isnan(value):
        return "not defined"
    return f"p {probability(value)}" if value < 0.005 else f"p = {value:.2f}"
