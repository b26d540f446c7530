"""What is known of one column of a regression table: its outcome, its estimator, what its numbers are, its stars.

What paper.toml says of the column comes first, then what it says of the table, then rows of the table itself, then the
column's head, then what paper.toml says of the whole paper.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from cbec_bayes.published.printed import TableColumn
from cbec_bayes.published.stated import ESTIMATORS, ColumnFacts, Facts

LINEAR = ("ols",)
"""Estimators whose R2 lies within 0 to 1 and cannot fall with more regressors."""

_HEADS: Mapping[str, str] = {
    "2sls": r"2\s?sls|tsls|\bivs?\b|instrumental|second stage|two[- ]stage",
    "gmm": r"\bgmm\b|arellano|blundell",
    "odds ratio": r"odds ratios?|hazard ratios?|incidence[- ]rate ratios?|relative risks?|exp\(b\)",
    "marginal effect": r"marginal effects?|\bames?\b|\bmem\b|dy/dx",
    "logit": r"\blogit|logistic",
    "probit": r"probit",
    "poisson": r"poisson|ppml|negative binomial",
    "ml": r"\btobit|\bcox\b|maximum likelihood|\bmle\b|\bsar\b|\bsdm\b|spatial",
    "ols": r"\bols\b|\bfe\b|fixed effects?|\blsdv\b|\btwfe\b|least squares",
}
"""Estimators by what a head or a row says of them, the most telling first; all in small letters."""

_RATIO_HEAD = re.compile(r"(?:^|[\s(])(OR|IRR|RRR|HR|RR|aOR)(?:$|[\s):,])")
"""Abbreviations of ratios, in capitals."""

_NUMBERED = re.compile(
    r"\(?(?:(?:model|column|spec\w*|m|reg\w*|eq\w*)\s*\.?\s*)?\(?(?:\d{1,2}[a-z]?|[ivx]{1,5})\)?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What is known of one column.

    Attributes
    ----------
    outcome, estimator, sample
        None where nothing tells.
    effects
        What the table says of fixed effects, by the name of its row.
    is_ratio
        Whether estimates are ratios, which are tested against one.
    scale_stated
        Whether something says so, or says that they are not.
    reading, reading_stated
        What the parentheses are, and whether that is said.
    stars, stars_stated
        Symbol to level, and whether that is said.
    clusters, clustered
        Clusters, where paper.toml says how many, and whether standard errors are said to be clustered.
    """

    outcome: str | None
    estimator: str | None
    sample: str | None
    effects: Mapping[str, str]
    is_ratio: bool
    scale_stated: bool
    reading: str
    reading_stated: bool
    stars: Mapping[str, Fraction]
    stars_stated: bool
    clusters: int | None
    clustered: bool

    @property
    def is_linear(self) -> bool | None:
        """Whether its R2 is that of least squares; None where the estimator is not known."""
        return None if self.estimator is None else self.estimator in LINEAR


def describe(column: TableColumn, facts: Facts) -> Described:
    """Collect what is known of a column."""
    said = facts.of_column(column.table, column.name)
    texts = column.texts
    estimator = said.estimator or estimator_of(texts.get("estimator", "")) or estimator_of(column.name)
    scale, scale_stated = _scale(column, said, estimator)
    clustered = said.clustered if said.clustered is not None else facts.clustered
    return Described(
        outcome=said.outcome or texts.get("outcome") or facts.outcome,
        estimator=estimator,
        sample=said.sample or texts.get("sample"),
        effects={
            name: texts[name].strip().lower() for name in ("unit_effects", "time_effects", "effects") if name in texts
        }
        | ({"stated": said.effects} if said.effects else {}),
        is_ratio=scale == "ratio",
        scale_stated=scale_stated,
        reading=said.reading or facts.claimed_reading,
        reading_stated=said.reading is not None or facts.reading_stated,
        stars=said.stars or facts.stars,
        stars_stated=said.stars is not None or facts.stars_stated,
        clusters=said.clusters,
        clustered=bool(clustered) or said.clusters is not None or _says_clustered(texts.get("clustering", "")),
    )


def is_numbered(name: str) -> bool:
    """Return whether the head of a column is a number alone, such as ``"(1)"`` or ``"Model 2"``."""
    return _NUMBERED.fullmatch(name.strip()) is not None


def estimator_of(text: str) -> str | None:
    """Return the estimator that a text names; None where it names none."""
    plain = text.strip().lower()
    if plain in ESTIMATORS:
        return plain
    return next((name for name, form in _HEADS.items() if re.search(form, plain)), None) if plain else None


def _says_clustered(text: str) -> bool:
    return bool(text.strip()) and text.strip().lower() not in ("no", "none", "n", "-")


def _scale(column: TableColumn, said: ColumnFacts, estimator: str | None) -> tuple[str, bool]:
    """Return whether estimates are ratios, and whether something says so."""
    stated = said.scale or column.texts.get("scale", "").strip().lower()
    if stated:
        return ("ratio" if stated in ("ratio", "ratios", "odds ratio") else "coefficient"), True
    positive = all(cell.estimate.value >= 0 for cell in column.coefficients.values())
    if positive and (estimator == "odds ratio" or _RATIO_HEAD.search(column.name)):
        return "ratio", True
    return "coefficient", estimator is not None
