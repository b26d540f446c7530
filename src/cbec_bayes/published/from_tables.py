"""One row of a printed regression table as estimates to be pooled: a column is a group."""

from __future__ import annotations

import math

from cbec_bayes.published.described import Described, describe
from cbec_bayes.published.estimates import PrintedEstimate, PrintedEstimates
from cbec_bayes.published.facts import paper_scheme, sample_of
from cbec_bayes.published.number import PrintedNumber
from cbec_bayes.published.printed import AS_QUANTITY, Coefficient, Paper
from cbec_bayes.published.readings import critical_value, se_from_p, se_from_t
from cbec_bayes.runtime.errors import InputError, suggest
from cbec_bayes.runtime.labels import CI_PROB


def estimates_of_term(paper: Paper, term: str | None) -> PrintedEstimates:
    """Return the estimates of one term in every column that has it.

    Parameters
    ----------
    paper
        The printed tables.
    term
        The term; default the exposure that paper.toml names, or the only term there is.

    Raises
    ------
    InputError
        Which term is meant is not known, or a column has nothing to take its standard error from.
    """
    name = _chosen(paper, term)
    columns = [column for column in paper.columns.values() if name in column.coefficients]
    names = [column.name for column in columns]
    scheme, rows = paper_scheme(paper.facts), []
    described = [describe(column, paper.facts) for column in columns]
    for column, said in zip(columns, described, strict=True):
        sample = sample_of(column, paper, scheme)
        df = sample.df[0] if sample.df[0] == sample.df[1] else math.inf
        cell = column.coefficients[name]
        rows.append(
            PrintedEstimate(
                label=column.name if names.count(column.name) == 1 else column.key,
                estimate=cell.estimate,
                parenthesis=_standard_error(cell, said, df),
                stars=cell.stars,
                df=df,
                n_units=sample.units,
                n_obs=sample.n_obs,
            )
        )
    levels = described[0].stars
    starred = any(row.stars for row in rows) and all(said.stars == levels for said in described)
    return PrintedEstimates(tuple(rows), levels if starred else None, (f"Pooled is '{name}' of {len(rows)} columns.",))


def _chosen(paper: Paper, term: str | None) -> str:
    terms = tuple(dict.fromkeys(name for column in paper.columns.values() for name in column.coefficients))
    if not terms:
        raise InputError("the tables have no row of coefficients that could be pooled")
    name = term or paper.facts.exposure or (terms[0] if len(terms) == 1 else None)
    if name is None:
        raise InputError(f"--term must name the row that is pooled; the rows are {', '.join(terms)}")
    if name not in terms:
        raise InputError(f"unknown term '{name}'; {suggest(name, terms)}")
    return name


def _standard_error(cell: Coefficient, said: Described, df: float) -> PrintedNumber | None:
    """Return what is printed as a standard error, or what a t statistic, a p-value or an interval implies."""
    if said.is_ratio:
        raise InputError(
            f"the column '{cell.column}' has ratios; write their logarithms and standard errors into a file "
            "of estimates and pool these"
        )
    value, known = float(cell.estimate), dict(cell.beside)
    if cell.parenthesis is not None:
        known.setdefault(AS_QUANTITY[said.reading], cell.parenthesis)
    if "standard_error" in known:
        return known["standard_error"]
    if {"ci_low", "ci_high"} <= set(known):
        return _derived((float(known["ci_high"]) - float(known["ci_low"])) / 2 / critical_value(1 - CI_PROB, df))
    if "t_statistic" in known and known["t_statistic"].value != 0 and value != 0:
        return _derived(se_from_t(value, float(known["t_statistic"])))
    if "p_value" in known and 0 < known["p_value"].value < 1 and value != 0:
        return _derived(se_from_p(value, float(known["p_value"]), df))
    if not cell.stars or value == 0:
        raise InputError(
            f"'{cell.term}' of column '{cell.column}' has neither a standard error nor a number from which one follows"
        )
    return None


def _derived(value: float) -> PrintedNumber:
    return PrintedNumber.parse(repr(value))
