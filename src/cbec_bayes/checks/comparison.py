"""What the model predicts of what it has not seen: rows, units and groups left out, beside the other members."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.bayes.loo import NOT_IDENTIFIED, Fold, parts
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.bayes.sampling.gates import KHAT_MAX, left_out
from cbec_bayes.checks.leftout import QUESTIONS, Predicted, Predictions, why_not
from cbec_bayes.checks.refits import RefitSlopes, Refitted, fitted_slopes, is_grouped, refit_slopes_if_identified
from cbec_bayes.checks.remedies import Finding, term_of
from cbec_bayes.checks.result import FAMILY_LEVEL, CheckResult, counted, not_applying
from cbec_bayes.checks.severity import Severity, changes, instead_of, severest
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.fanout import SERIAL, Executor, fan_out
from cbec_bayes.runtime.progress import OnProgress, ignore_progress

ROW_COLUMNS = ("row", "elpd", "khat", "p", "origin", "note")
GROUP_COLUMNS = ("group", "elpd", "elpd_complete_pooling", "difference", "khat", "origin", "note")
COMPARISON_COLUMNS = (
    "left_out",
    "question",
    "model",
    "model_question",
    "parts",
    "predicted",
    "elpd",
    "se",
    "difference",
    "difference_se",
    "khat_max",
    "refitted",
    "origin",
    "note",
)

SMALL = 4.0
"""Differences of log densities up to this are not told apart (Sivula, Magnusson, Matamoros and Vehtari, 2023)."""

SURE = 2.0
"""Standard errors up to which a difference of log densities is not told apart from none."""


def left_out_rows(found: PanelFit, predicted: Predictions, *, seed: int = 1) -> CheckResult:
    """Hold every row against its density given all others.

    Returns
    -------
    CheckResult
        It is *fine* where no row lies farther out than the farthest of as many would in 19 of 20 panels, every density
        is known (no Pareto shape is above 0.7), and all refits passed their gates; otherwise it is *worth knowing*.
        Where rows lie far out, the model is refitted without them, and the severity is that of the severest change of
        a slope if that is more; see `cbec_bayes.checks.severity.Change`.
    """
    name = "left_out_rows"
    own = predicted.get((found.model.name, "row"))
    if own is None or own.refused:
        return _not_told(name, ROW_COLUMNS, why_not(found, "row"), found.model.name, own)
    labels = parts(found.blocks, "row")[1]
    columns = (labels, own.elpd, own.khat, own.p, str(found.design.origin), own.notes)
    table = pd.DataFrame(dict(zip(ROW_COLUMNS, columns, strict=True)))
    far = table[far_out(table)].sort_values("p")
    unsure = int((table["khat"] > KHAT_MAX).sum())
    lost = int(table["elpd"].isna().sum())
    named = ", ".join(far["row"].head(4)) + (f" and {len(far) - 4} more" if len(far) > 4 else "")
    notes = f"; {lost} cannot be predicted" if lost else ""
    notes += f"; {unsure} densities are unreliable" if unsure else ""
    missed = own.missed(labels)
    text = (
        f"Each row was predicted from all others (elpd {table['elpd'].sum():.1f}, largest Pareto shape "
        f"{table['khat'].max():.2f}). Compared with the farthest row in 19 of 20 panels of this size, "
        f"{counted(len(far), len(table), 'rows')} farther "
        f"out{', by unit and period ' + named if named else ''}{notes}. "
        f"{_fits_said(1, own.refits + len(missed), missed, 'row')}"
    )
    severity = Severity.KNOWING if len(far) or unsure or missed else Severity.FINE
    if len(far):
        without = Refitted(found.design.holding_spread().rows(~far_out(table).to_numpy()), found.model, seed)
        change, said = _changed(found, {"these rows": refit_slopes_if_identified(without)}, "without")
        severity, text = (
            severest([severity, change]),
            f"{text}{said} The term {term_of(Finding.TAILS)} allows for heavy tails.",
        )
    return CheckResult(name, severity, table, name, text)


def _changed(found: PanelFit, refits: Mapping[str, RefitSlopes], with_what: str) -> tuple[Severity, str]:
    """Return the severest change of a slope over several refits, and sentences on the first and the severest."""
    own, grouped = fitted_slopes(found).shown, is_grouped(found)
    known = [(label, change) for label, one in refits.items() for change in changes(own, one.shown)[:1]]
    refused = {label: one.gate for label, one in refits.items() if not one.slopes}
    lost = f" The slopes of some refits are not known{left_out(refused, with_what)}." if refused else ""
    if not known:
        return Severity.FINE, lost
    worst = min(known, key=lambda one: (one[1].severity.rank, -one[1].size))
    said = ""
    for label, change in dict.fromkeys((known[0], worst)):
        most = "no slope changes much; " if change.severity is Severity.FINE else ""
        said += f" {with_what.capitalize()} {label} {most}{instead_of(change, grouped=grouped)}."
    return worst[1].severity, said + lost


def far_out(table: pd.DataFrame) -> pd.Series[bool]:
    """Return which rows of a table of `left_out_rows` lie farther out than the farthest of so many would."""
    known = int(table["p"].notna().sum())
    return table["p"] < FAMILY_LEVEL / max(known, 1)


def _not_told(
    name: str, columns: Sequence[str], why: str, model: str = "", one: Predicted | None = None
) -> CheckResult:
    """Return a check that does not apply, or cannot be made because of a member."""
    text = why if one is None or not one.refused else f"The model {model} gives no prediction here: {one.refused}."
    return not_applying(name, columns, text)


def _fits_said(fits: int, refits: int, missed: Mapping[str, str], part: str) -> str:
    """Say how many fits to all rows and refits without a part passed their gates, and why others are left out."""
    first = "The fit to all rows" if fits == 1 else "The two fits to all rows"
    if not refits:
        return f"{first} passed {'its' if fits == 1 else 'their'} gates, and no {part} needed a refit."
    kept = refits - len(missed)
    count = f"{kept} of {refits} refits" if missed else "one refit" if refits == 1 else f"{refits} refits"
    return f"{first} and {count} passed their gates{left_out(missed, tabled=True)}."


def left_out_groups(found: PanelFit, predicted: Predictions, *, seed: int = 1) -> CheckResult:
    """Hold the density of each group given the others against that under one slope for all.

    Returns
    -------
    CheckResult
        It is *fine* unless one slope for all predicts groups that were not seen better, by more than `SMALL` in all.
        Then the severity is that of the severest change of a slope from the model to one slope for all, and at least
        *worth knowing*, as is a refit that missed a gate; see `cbec_bayes.checks.severity.Change`.
    """
    name = "left_out_groups"
    members = (found.model.name, "complete_pooling")
    both = [predicted.get((model, "group")) for model in members]
    own, one = both
    if own is None or one is None or own.refused or one.refused:
        model, first = next(((m, p) for m, p in zip(members, both, strict=True) if p and p.refused), ("", None))
        why = why_not(found, "group") or "The model complete_pooling is not among those that are compared."
        return _not_told(name, GROUP_COLUMNS, why, model, first)
    labels = found.design.groups
    notes = [first or second for first, second in zip(own.notes, one.notes, strict=True)]
    apart = own.elpd - one.elpd
    columns = (labels, own.elpd, one.elpd, apart, own.khat, str(found.design.origin), notes)
    table = pd.DataFrame(dict(zip(GROUP_COLUMNS, columns, strict=True)))
    if NOT_IDENTIFIED in own.notes:
        text = (
            f"The model {found.model.name} estimates the coefficients of each group without pooling, so that it "
            "cannot predict a group that is left out."
        )
        return CheckResult(name, Severity.IDLE, table, None, text)
    missed = own.missed(labels) | {f"{g} under one slope": why for g, why in one.missed(labels).items()}
    fits, refits = 2, own.refits + one.refits + len(missed)
    if own is one:  # the fitted model is the one that has one slope for all
        missed = own.missed(labels)
        fits, refits = 1, own.refits + len(missed)
    known = apart[~np.isnan(apart)]
    total = total_difference(table)
    which = "better" if total > 0 else "worse"
    verdict = f"{which} by {abs(total):.1f}" if abs(total) > SMALL else f"practically the same ({total:+.1f})"
    text = (
        f"The changes within units of each of {len(known)} groups were predicted from the other groups: compared with "
        f"one slope for all, the sum of log densities is {verdict.replace('-', chr(0x2212))}. "
        f"{_fits_said(fits, refits, missed, 'group')}"
    )
    severity = Severity.KNOWING if total < -SMALL or missed else Severity.FINE
    if total < -SMALL:
        pooled = Refitted(found.design, load_panel_model(members[1]), seed)
        change, said = _changed(found, {members[1]: refit_slopes_if_identified(pooled)}, "under")
        severity, text = severest([severity, change]), f"{text}{said}"
    return CheckResult(name, severity, table, name, text)


def total_difference(table: pd.DataFrame) -> float:
    """Return by how much all groups of a table of `left_out_groups` are predicted better than under one slope."""
    return float(table["difference"].sum())


def model_comparison(
    found: PanelFit,
    predicted: Predictions,
    *,
    others: Mapping[str, PanelFit] | None = None,
    seed: int = 1,
    executor: Executor = SERIAL,
    on_progress: OnProgress = ignore_progress,
) -> CheckResult:
    """Compare members by what they predict, question by question, and by what the better ones say of the slopes.

    Parameters
    ----------
    found
        A fitted model.
    predicted
        What it and other members predict of what is left out.
    others
        Fits of members that are not refitted here, by name.
    seed
        Seed of the refits of the members that predict better.
    executor, on_progress
        As in `cbec_bayes.runtime.fanout.fan_out`.

    Returns
    -------
    CheckResult
        `difference` is the elpd less the fitted model's, over the parts that both predict, with the standard error of a
        sum of paired differences. A member predicts better where that is by more than `SMALL` and by two standard
        errors. The check is *fine* where none does, or where those that do say the same of the slopes; otherwise its
        severity is that of the severest change of a slope under a member that predicts better; see
        `cbec_bayes.checks.severity.Change`. A fit of the fitted model that missed a gate is worth knowing. A member
        that is refused has no numbers, and the reason in `note`; the text names it.
    """
    name = "model_comparison"
    model = found.model.name
    own = [one for (member, _), one in predicted.items() if member == model]
    if all(one.refused for one in own):
        worst = next((one for one in own if one.kind == "gate"), own[0] if own else None)
        return _not_told(name, COMPARISON_COLUMNS, why_not(found, "row"), model, worst)
    fits = _fits_of(found, predicted)
    failed = any(member == model for member, _ in fits.missed)
    table = comparison_table(found, predicted)
    count = len(fits.compared)
    if count < 2:
        text = f"No other model was compared with {model}{left_out(fits.apart, 'not compared')}"
        text += f"{left_out(fits.names, 'missed their gates', tabled=True)}."
        return CheckResult(name, Severity.KNOWING if failed else Severity.IDLE, table, None, text)
    better = table[with_ends(table)["better"]]
    said = []
    for what in QUESTIONS:
        rows = better[better["left_out"] == what].sort_values("difference", ascending=False)
        if len(rows):
            best = rows.iloc[0]
            said.append(
                f"{best['model']} predicts a {what} that is left out better ({best['difference']:+.1f} in the "
                "sum of log densities)"
            )
    subject = "The other model does not predict" if count == 2 else f"None of the other {count - 1} models predicts"
    text = f"{subject} what is left out better than {model}."
    if said:
        text = f"Among {count} models some predict better than {model}: {'; '.join(said)}."
    severity = Severity.KNOWING if failed else Severity.FINE
    names = tuple(dict.fromkeys(better.sort_values("difference", ascending=False)["model"]))
    if names:
        given = {one: fitted_slopes(others[one]) for one in names if others and one in others}
        tried = [Refitted(found.design, load_panel_model(one), seed) for one in names if one not in given]
        refits = fan_out(executor, refit_slopes_if_identified, tried, on_progress=on_progress, named="better member")
        known = given | {one.model.name: own for one, own in zip(tried, refits, strict=True)}
        change, told = _changed(found, {one: known[one] for one in names}, "under")
        severity, text = severest([severity, change]), f"{text}{told}"
    return CheckResult(name, severity, table, name, f"{text} {fits.sentence}")


@dataclass(frozen=True, slots=True)
class _Fits:
    """The fits behind a comparison: members compared, and why others are not; fits, and those that missed a gate."""

    compared: tuple[str, ...]
    apart: Mapping[str, str]
    total: int
    missed: Mapping[tuple[str, str], str]

    @property
    def names(self) -> dict[str, str]:
        return {" ".join(names): reason for names, reason in self.missed.items()}

    @property
    def sentence(self) -> str:
        members = len(set(self.compared) | {name.split(" ")[0] for name in self.apart})
        count = len(self.compared)
        who = f"All {count} models" if count == members else f"{count} of {members} models"
        passed = f"{self.total - len(self.missed)} of {self.total} of" if self.missed else "all"
        ends = left_out(self.names, tabled=True) + left_out(self.apart, "not compared")
        return f"{who} were compared, and {passed} their fits passed their gates{ends}."


def _fits_of(found: PanelFit, predicted: Predictions) -> _Fits:
    """Count the fits of the members that are compared, to all rows and without a part, question by question."""
    name = found.model.name
    asked = {what for (model, what), one in predicted.items() if model == name and not one.refused}
    tried = {(m, what): one for (m, what), one in predicted.items() if what in asked or m == name}
    compared = tuple(dict.fromkeys(model for (model, _), one in tried.items() if not one.refused))
    apart, missed, total = {}, {}, 0
    for (model, what), one in tried.items():
        where = f"where a {what} is left out"
        if one.refused and model not in compared:
            apart[model] = one.refused
        elif one.refused and one.kind != "gate":
            apart[f"{model} {where}"] = one.refused
        elif one.refused:
            missed[model, where], total = one.refused, total + 1
        else:
            labels = parts(found.blocks, what)[1] if any(one.notes) else ()
            own = one.missed(labels) if labels else {}
            missed |= {(model, f"without {label}"): reason for label, reason in own.items()}
            total += 1 + one.refits + len(own)
    return _Fits(compared, apart, total, missed)


def with_ends(table: pd.DataFrame) -> pd.DataFrame:
    """Add to a table of `model_comparison` what is concluded from each difference.

    Returns
    -------
    DataFrame
        With difference_low and difference_high, `SURE` standard errors on either side, and better, whether the member
        predicts better by more than `SMALL` and by more than `SURE` standard errors.
    """
    difference, half = table["difference"], SURE * table["difference_se"]
    better = (difference > SMALL) & (difference > half)
    return table.assign(difference_low=difference - half, difference_high=difference + half, better=better)


def comparison_table(found: PanelFit, predicted: Predictions) -> pd.DataFrame:
    """Return one row per question and model, with columns `COMPARISON_COLUMNS`."""
    rows: list[tuple[object, ...]] = []
    for what, question in QUESTIONS.items():
        own = predicted.get((found.model.name, what))
        for (model, kind), one in predicted.items():
            if kind != what or own is None or own.refused:
                continue
            asked = found.model if model == found.model.name else load_panel_model(model)
            numbers = _refused_numbers(len(own.elpd)) if one.refused else _numbers(one, own)
            rows.append((what, question, model, asked.question, *numbers, str(found.design.origin), _note(one, what)))
    return pd.DataFrame(rows, columns=list(COMPARISON_COLUMNS))


def _refused_numbers(n_parts: int) -> tuple[float, ...]:
    return (n_parts, 0, np.nan, np.nan, np.nan, np.nan, np.nan, 0)


def _numbers(one: Predicted, own: Predicted) -> tuple[float, ...]:
    """Return parts, predicted, elpd, se, difference, difference_se, khat_max and refitted of a member."""
    there = ~np.isnan(one.elpd)
    both = there & ~np.isnan(own.elpd)
    apart = (one.elpd - own.elpd)[both]
    shapes = one.khat[~np.isnan(one.khat)]
    return (
        len(one.elpd),
        int(there.sum()),
        float(one.elpd[there].sum()) if there.any() else np.nan,
        _error(one.elpd[there]),
        float(apart.sum()) if both.any() else np.nan,
        _error(apart),
        float(shapes.max()) if len(shapes) else np.nan,
        one.refits,
    )


def _note(one: Predicted, what: Fold) -> str:
    """Say why a member predicts nothing, or not every part, or some part unreliably; blank where there is no reason."""
    if one.refused:
        return one.refused
    total = len(one.elpd)
    reasons = Counter(note for note in one.notes if note)
    said = [f"no density of {count} of {total} {what}s: {reason}" for reason, count in reasons.items()]
    unsure = int((one.khat > KHAT_MAX).sum())
    if unsure:
        said.append(f"densities of {unsure} of {total} {what}s are unreliable: Pareto k is above {KHAT_MAX}")
    return "; ".join(said)


def _error(values: Array) -> float:
    """Return the standard error of a sum."""
    return float(np.sqrt(len(values)) * values.std(ddof=1)) if len(values) > 1 else np.nan
