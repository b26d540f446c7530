"""What the observed panels of a study say of its question: one table, from which every sentence about them is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from cbec_bayes.jobs.specifications import Specified
from cbec_bayes.panel.study import MAIN
from cbec_bayes.replication import Replication, label_of
from cbec_bayes.runtime.labels import CI_PROB, GROUP_AVERAGE, Origin, level
from cbec_bayes.specifications.conclusions import NEGATIVE, POSITIVE, values_words
from cbec_bayes.specifications.lattice import ALTERNATIVE, AXES, OUTCOME_SCALE

EVIDENCE_COLUMNS = (
    "study",
    "panel",
    "label",
    "outcome",
    "exposure",
    "first",
    "last",
    "n_units",
    "n_obs",
    "holds",
    "members",
    "positive",
    "negative",
    "mean",
    "ci_low",
    "ci_high",
    "p_positive",
    "mcse",
    "within_mean",
    "within_low",
    "within_high",
    "lattice",
    "lattice_positive",
    "lattice_low",
    "lattice_high",
    "above_zero",
    "below_zero",
    "origin",
)
"""Columns of evidence.csv: a row for each observed panel, about the average slope over its units.

`holds`, `members`, `positive`, `negative` and what begins with `lattice` are those of conclusions.csv; `mean`,
`ci_low`, `ci_high`, `p_positive` and `mcse` are of the mixture of specifications. `above_zero` and `below_zero` count
the specifications, with weight or without, whose interval lies on that side of zero. `within_mean`, `within_low` and
`within_high` are the slope in within standard deviations: how many of the outcome go with one of the exposure, so that
panels compare.
"""


def evidence(
    classical: Mapping[str, Replication],
    specified: Mapping[str, Specified],
    alternatives: Mapping[str, pd.DataFrame],
) -> pd.DataFrame:
    """Return evidence.csv: what each observed panel says of the average slope, with columns `EVIDENCE_COLUMNS`.

    Parameters
    ----------
    classical
        Studies by name; those of which the panel is not observed are left out.
    specified
        Their slopes under every specification.
    alternatives
        For a study with several panels, its table of `cbec_bayes.replication.alternatives.alternatives_frame`.
    """
    rows = [
        row
        for name, found in specified.items()
        if classical[name].panel.origin is Origin.OBSERVED
        for row in _rows(classical[name], found, alternatives.get(name))
    ]
    return pd.DataFrame(rows, columns=list(EVIDENCE_COLUMNS))


def _rows(replication: Replication, found: Specified, alternatives: pd.DataFrame | None) -> Iterable[dict[str, object]]:
    concluded = found.conclusions[found.conclusions["group"] == GROUP_AVERAGE]
    members = _average(found)
    mixed = found.mixture[found.mixture["group"] == GROUP_AVERAGE].set_index(ALTERNATIVE)
    about = {MAIN: _about_main(replication)} | _about(replication, alternatives)
    for row in concluded.to_dict("records"):
        own = members[members[ALTERNATIVE] == row[ALTERNATIVE]]
        shown = about[row[ALTERNATIVE]]
        scale = shown.pop("scale")
        kept = ("holds", "members", "positive", "negative", "mean", "ci_low", "ci_high", "p_positive", "origin")
        lattice = ("lattice", "lattice_positive", "lattice_low", "lattice_high")
        yield {
            "study": replication.study.name,
            "panel": row[ALTERNATIVE],
            **shown,
            **{name: row[name] for name in (*kept, *lattice)},
            "mcse": mixed.loc[row[ALTERNATIVE], "mcse"],
            "within_mean": row["mean"] * scale,
            "within_low": row["ci_low"] * scale,
            "within_high": row["ci_high"] * scale,
            "above_zero": int((own["ci_low"] > 0).sum()),
            "below_zero": int((own["ci_high"] < 0).sum()),
        }


def _average(found: Specified) -> pd.DataFrame:
    """Return the rows of specifications.csv about the average over units, of members that passed their gates."""
    table = found.specifications
    return table[(table["group"] == GROUP_AVERAGE) & (table["gate"] == "")]


def _about_main(replication: Replication) -> dict[str, Any]:
    design, label = replication.design, label_of(replication)
    within = design.spread.within
    return {
        "label": "",
        "outcome": label(design.outcome),
        "exposure": label(design.terms[0]),
        "first": design.times[0],
        "last": design.times[-1],
        "n_units": len(design.units),
        "n_obs": len(design.y),
        "scale": within[1] / within[0],
    }


def _about(replication: Replication, alternatives: pd.DataFrame | None) -> dict[str, dict[str, Any]]:
    """Return what is known of each other panel, by name."""
    if alternatives is None:
        return {}
    label = label_of(replication)
    once = alternatives.drop_duplicates("alternative")
    return {
        str(row["alternative"]): {
            "label": row["label"],
            "outcome": label(str(row["outcome"])),
            "exposure": label(str(row["exposure"])),
            **{name: row[name] for name in ("first", "last", "n_units", "n_obs")},
            "scale": row["within_sd"] / row["estimate"],
        }
        for row in once.to_dict("records")
        if row["alternative"] != MAIN
    }


def evidence_sentences(table: pd.DataFrame, needed: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return what the observed panels say, in sentences: whether the sign is settled, the size, what a sign needs.

    Parameters
    ----------
    table
        With columns `EVIDENCE_COLUMNS`; empty where nothing is observed, and then nothing is said.
    needed
        For each sign, what all specifications with an interval on that side of zero have in common; see `assumed_by`.
    """
    if table.empty:
        return ()
    main = table.iloc[0]
    return (_settled(table, main), _size(main), *_needs(table, needed))


def _settled(table: pd.DataFrame, main: pd.Series[Any]) -> str:
    n, ci = len(table), level(CI_PROB)
    signs = {sign: int((table["holds"] == sign).sum()) for sign in (POSITIVE, NEGATIVE)}
    outcome, exposure = f"“{main['outcome']}”", f"“{main['exposure']}”"
    asked = (
        f"A sign is settled where it is the same under every specification that predicts well, each {ci} interval "
        "leaving out zero."
    )
    if main["holds"] in signs:
        moves = "rises" if main["holds"] == POSITIVE else "falls"
        said = f"In public statistics {outcome} {moves} with {exposure}, on average over units"
        return f"{said}: so it is in {signs[main['holds']]} of {n} panels that ask the question. {asked}"
    others = [f"settled as {sign} in {count}" for sign, count in signs.items() if count]
    where = f"the slope is {' and '.join(others)} of {n} panels that ask the question, and open in the main one"
    if not others:
        where = f"the sign of the slope is settled in none of {n} panels that ask the question"
    return f"Public statistics do not tell whether {outcome} rises or falls with {exposure}: {where}. {asked}"


def _size(main: pd.Series[Any]) -> str:
    return (
        f"In the main panel ({main['n_units']} units, {main['first']} to {main['last']}) the average slope is "
        f"{_short(main['mean'])} ({level(CI_PROB)} interval {_short(main['ci_low'])} to {_short(main['ci_high'])}), "
        f"and from {_short(main['lattice_low'])} to {_short(main['lattice_high'])} under single specifications."
    )


def _needs(table: pd.DataFrame, needed: Mapping[str, Sequence[str]]) -> Iterable[str]:
    """Say what a sign beyond doubt would have to assume, where some specifications have it and not all do."""
    pairs = int(table["lattice"].sum())
    counts = {POSITIVE: int(table["above_zero"].sum()), NEGATIVE: int(table["below_zero"].sum())}
    yield (
        f"The interval lies above zero under {counts[POSITIVE]}, and below zero under {counts[NEGATIVE]}, of {pairs} "
        "combinations of a panel and a specification."
    )
    for sign, count in counts.items():
        common = needed.get(sign, ())
        if 1 < count < pairs and common:
            yield (
                f"All {count} {sign} ones are estimated {' and '.join(common)}: that is what the claim of a {sign} "
                "slope needs."
            )


def assumed_by(specified: Iterable[Specified]) -> dict[str, tuple[str, ...]]:
    """Return what all specifications with an interval on one side of zero have in common, in words, by sign.

    An assumption counts where some specifications of the same panels differ in it alone, and these all have one value.

    Parameters
    ----------
    specified
        Slopes under every specification, of each study that counts.
    """
    members = pd.concat([_average(one).assign(study=i) for i, one in enumerate(specified)], ignore_index=True)
    own = {POSITIVE: members[members["ci_low"] > 0], NEGATIVE: members[members["ci_high"] < 0]}
    return {sign: _in_common(rows, members) for sign, rows in own.items()}


def _in_common(rows: pd.DataFrame, members: pd.DataFrame) -> tuple[str, ...]:
    same_panels = members.merge(rows[["study", ALTERNATIVE]].drop_duplicates())
    return tuple(
        values_words(axis, str(rows[axis].iloc[0]))
        for axis in AXES
        if len(rows) and _is_varied(same_panels, axis) and len(set(rows[axis])) == 1
    )


def _is_varied(members: pd.DataFrame, axis: str) -> bool:
    """Return whether some members of a panel differ in an assumption, and in no other."""
    others = ["study", ALTERNATIVE, OUTCOME_SCALE, *(one for one in AXES if one != axis)]
    differing = members.drop_duplicates([*others, axis])
    return bool(differing.duplicated(others).any())


def _short(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")
