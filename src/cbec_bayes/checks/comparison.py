"""What the model predicts of what it has not seen: rows, units and groups left out, beside the other members."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.bayes.loo import NOT_IDENTIFIED, Fold, LooTask, leave_one_out, parts
from cbec_bayes.bayes.model.blocks import blocks_for
from cbec_bayes.bayes.model.family import PanelModel, load_panel_model, panel_model_names
from cbec_bayes.bayes.sampling.gates import KHAT_MAX, sentence
from cbec_bayes.checks.result import FAMILY_LEVEL, CheckResult, counted
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import GateError, InputError
from cbec_bayes.runtime.fanout import SERIAL, Executor, fan_out
from cbec_bayes.runtime.progress import OnProgress, ignore_progress

QUESTIONS: Mapping[Fold, str] = {
    "row": "How well is a period of a unit predicted from all other rows?",
    "unit": "How well are the changes of a unit not yet seen predicted from the other units?",
    "group": "How well are the changes of a group not yet seen predicted from the other groups?",
}
"""What leaving out each kind of part asks."""

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

MAX_ROWS = 5_000
MAX_PARTS = 200
MAX_SCALES = 12
"""Rows of a panel, and parts of it, up to which each is left out; scales of a member up to which it takes part."""

MAX_WORK = 2e7
"""Rows times squared coefficients of a member up to which it takes part: minutes, for a density per row and draw."""


@dataclass(frozen=True, slots=True)
class Predicted:
    """What a member predicts of each of F parts of a panel, given all the others.

    Attributes
    ----------
    elpd, khat, p
        As in `cbec_bayes.bayes.loo.LooResult`, each of shape (F,); empty where the member is refused.
    notes
        Of every part, why it has no density; blank where it has one.
    refused
        Why the member predicts nothing: it cannot be fitted to these rows, or its fit missed a gate. Blank otherwise.
    """

    elpd: Array
    khat: Array
    p: Array
    notes: tuple[str, ...]
    refused: str = ""

    @property
    def refits(self) -> int:
        """Parts that were predicted by a fit of their own, which passed its gates."""
        return int((np.isnan(self.khat) & ~np.isnan(self.elpd)).sum())

    def missed(self, labels: Sequence[str]) -> dict[str, str]:
        """Return the parts whose own fit missed a gate, by their labels, and which gate."""
        notes = zip(labels, self.notes, strict=True)
        return {label: note for label, note in notes if note not in ("", NOT_IDENTIFIED)}


TOO_DEAR = "its coefficients and scales are too many for leaving out to take minutes on this panel"
"""Why a member that is not `affordable` predicts nothing."""

type Predictions = Mapping[tuple[str, Fold], Predicted]
"""What each model predicts of what is left out."""


def gaussian_members() -> tuple[str, ...]:
    """Return the members that the collapsed engine fits."""
    return tuple(name for name in panel_model_names() if load_panel_model(name).is_gaussian)


def predict(task: LooTask) -> Predicted:
    """Predict what a task leaves out; where the model cannot be fitted, or misses a gate, that is the answer."""
    try:
        found = leave_one_out(task)
    except (InputError, GateError) as error:
        return refused(str(error))
    elpd, khat, p = (np.array(found[name], dtype=float) for name in ("elpd", "khat", "p"))
    return Predicted(elpd, khat, p, tuple(found["note"]))


def refused(reason: str) -> Predicted:
    """Return the prediction of a member that predicts nothing."""
    nothing = np.zeros(0)
    return Predicted(nothing, nothing, nothing, (), reason)


def n_scales(model: PanelModel, design: Design) -> int:
    """Return how many scales a member samples on a design: one per group, or control, of some terms."""
    each = {"phi": len(design.terms) - 1, "sigma": len(design.groups) if model.choice("residual") == "by_group" else 1}
    return sum(each.get(scale, 1) for scale in model.scales)


def affordable(model: PanelModel, design: Design) -> bool:
    """Whether a member predicts a panel in minutes.

    Raises
    ------
    InputError
        It cannot be laid out on it at all.
    """
    blocks = blocks_for(design, model)
    effects = len(design.units) if model.choice("residual") == "ar1" else 0
    work = design.n_obs * float(blocks.n_coefficients + effects) ** 2
    return work <= MAX_WORK and n_scales(model, design) <= MAX_SCALES


def predictions(
    found: PanelFit,
    models: Sequence[str],
    *,
    others: Mapping[str, PanelFit] | None = None,
    seed: int = 1,
    executor: Executor = SERIAL,
    on_progress: OnProgress = ignore_progress,
) -> Predictions:
    """Leave out every row, unit and group under several models.

    Parameters
    ----------
    found
        A fit by the collapsed engine.
    models
        Names of members beside it, but for those with more than `MAX_SCALES` scales, or work than `MAX_WORK`; those
        that are not Gaussian are taken from `others` if they are there.
    others
        Fits of members that are not Gaussian: of these rows alone are left out, by importance sampling of densities
        given effects, which their diagnostics can show to be unreliable.
    seed, executor, on_progress
        As in `cbec_bayes.runtime.fanout.fan_out`.
    """
    own = found.model
    members = {own.name: own} | {name: load_panel_model(name) for name in models if name != own.name}
    most: Mapping[Fold, int] = {"row": MAX_ROWS, "unit": MAX_PARTS, "group": MAX_PARTS}
    applies = found.collapsed is not None and found.design.n_obs <= MAX_ROWS
    kinds = [what for what in QUESTIONS if applies and 1 < len(parts(found.blocks, what)[1]) <= most[what]]
    predicted: dict[tuple[str, Fold], Predicted] = {}
    asked = []
    for model in (member for member in members.values() if member.is_gaussian and kinds):
        try:
            if affordable(model, found.design):
                asked += [LooTask(found.design, model, what, seed) for what in kinds]
            else:
                predicted |= {(model.name, what): refused(TOO_DEAR) for what in kinds}
        except InputError as error:
            predicted |= {(model.name, what): refused(str(error)) for what in kinds}
    answered = fan_out(executor, predict, asked, on_progress=on_progress, named="question to a member")
    predicted |= {(one.model.name, one.what): own for one, own in zip(asked, answered, strict=True)}
    for name, other in (others or {}).items():
        if name in members and not members[name].is_gaussian:
            predicted[name, "row"] = _given_effects(other)
    return predicted


def _given_effects(fit: PanelFit) -> Predicted:
    import warnings

    import arviz as az

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of shapes above the limit, which are reported
        loo = az.loo(fit.tree, pointwise=True)
    elpd = np.asarray(loo.elpd_i.to_numpy(), dtype=float).ravel()
    khat = np.asarray(loo.pareto_k.to_numpy(), dtype=float).ravel()
    return Predicted(elpd, khat, np.full(len(elpd), np.nan), ("",) * len(elpd))


def left_out_rows(found: PanelFit, predicted: Predictions) -> CheckResult:
    """Hold every row against its density given all others.

    Returns
    -------
    CheckResult
        It fails where a row lies farther out than the farthest of as many would in one panel of twenty, where a Pareto
        shape is above 0.7 although the model was refitted, or where a refit missed a gate.
    """
    name = "left_out_rows"
    own = predicted.get((found.model.name, "row"))
    if own is None or own.refused:
        return _not_told(name, ROW_COLUMNS, {} if own is None else {found.model.name: own.refused})
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
        f"Each row is predicted from all others (elpd {table['elpd'].sum():.1f}, largest Pareto shape "
        f"{table['khat'].max():.2f}): {counted(len(far), len(table), 'rows')} farther out than the farthest of so many "
        f"would in 19 of 20 panels{': ' + named if named else ''}{notes}. "
        f"{sentence(1 + own.refits + len(missed), missed, 'fits')}"
    )
    return CheckResult(name, bool(far.empty) and not unsure and not missed, table, name, text)


def far_out(table: pd.DataFrame) -> pd.Series[bool]:
    """Return which rows of a table of `left_out_rows` lie farther out than the farthest of so many would."""
    known = int(table["p"].notna().sum())
    return table["p"] < FAMILY_LEVEL / max(known, 1)


_NOT_APPLICABLE = (
    f"What is left out is predicted for models of the collapsed engine, panels up to {MAX_ROWS} rows, two parts or "
    "more, and as many coefficients as take minutes."
)


def _not_told(name: str, columns: Sequence[str], reasons: Mapping[str, str]) -> CheckResult:
    """Return a check that does not apply, or cannot be made because of members that are refused."""
    said = [f"The model {model} predicts nothing here: {reason}." for model, reason in reasons.items() if reason]
    return CheckResult(name, None, pd.DataFrame(columns=list(columns)), None, " ".join(said) or _NOT_APPLICABLE)


def left_out_groups(found: PanelFit, predicted: Predictions) -> CheckResult:
    """Hold the density of each group given the others against that under one slope for all.

    Returns
    -------
    CheckResult
        It fails where one slope for all predicts groups that were not seen better, by more than `SMALL` in all, or
        where a refit missed a gate.
    """
    name = "left_out_groups"
    members = (found.model.name, "complete_pooling")
    both = [predicted.get((model, "group")) for model in members]
    own, one = both
    if own is None or one is None or own.refused or one.refused:
        reasons = {model: "" if p is None else p.refused for model, p in zip(members, both, strict=True)}
        return _not_told(name, GROUP_COLUMNS, reasons)
    labels = found.design.groups
    notes = [first or second for first, second in zip(own.notes, one.notes, strict=True)]
    apart = own.elpd - one.elpd
    columns = (labels, own.elpd, one.elpd, apart, own.khat, str(found.design.origin), notes)
    table = pd.DataFrame(dict(zip(GROUP_COLUMNS, columns, strict=True)))
    if NOT_IDENTIFIED in own.notes:
        text = (
            f"The model {found.model.name} has flat coefficients of groups, so that it predicts none it has not seen."
        )
        return CheckResult(name, None, table, None, text)
    missed = own.missed(labels) | {f"{g} under one slope": why for g, why in one.missed(labels).items()}
    known = apart[~np.isnan(apart)]
    total = total_difference(table)
    which = "better" if total > 0 else "worse"
    verdict = f"{which} by {abs(total):.1f}" if abs(total) > SMALL else f"no differently ({total:+.1f})"
    text = (
        f"Each of {len(known)} groups is predicted from the others, in its changes within units: in all "
        f"{verdict.replace('-', chr(0x2212))} than under one slope for all, in logarithms of densities. "
        f"{sentence(2 + own.refits + one.refits + len(missed), missed, 'fits')}"
    )
    return CheckResult(name, total >= -SMALL and not missed, table, name, text)


def total_difference(table: pd.DataFrame) -> float:
    """Return by how much all groups of a table of `left_out_groups` are predicted better than under one slope."""
    return float(table["difference"].sum())


def model_comparison(found: PanelFit, predicted: Predictions) -> CheckResult:
    """Compare members by what they predict, question by question.

    Returns
    -------
    CheckResult
        `difference` is the elpd less the fitted model's, over the parts that both predict, with the standard error of a
        sum of paired differences. It fails where a member predicts better by more than `SMALL` and by two standard
        errors. A member that is refused has no numbers, and the reason in `note`; the text names it.
    """
    name = "model_comparison"
    own = {one.refused for (model, _), one in predicted.items() if model == found.model.name}
    if own and "" not in own:
        return _not_told(name, COMPARISON_COLUMNS, {found.model.name: next(iter(own))})
    table = comparison_table(found, predicted)
    reasons = {model: one.refused for (model, _), one in predicted.items() if one.refused}
    tried = table[~table["model"].isin(list(reasons))]
    count = tried["model"].nunique()
    gates = sentence(table["model"].nunique(), reasons, "members")
    if count < 2:
        text = f"{_NOT_APPLICABLE} {gates}" if reasons else _NOT_APPLICABLE
        return CheckResult(name, None, table, None, text)
    better = tried[with_ends(tried)["better"]]
    said = []
    for what in QUESTIONS:
        rows = better[better["left_out"] == what].sort_values("difference", ascending=False)
        if len(rows):
            best = rows.iloc[0]
            said.append(f"a {what} left out is predicted better by {best['model']} ({best['difference']:+.1f})")
    text = f"Of {count} members none predicts what is left out better than {found.model.name}."
    if said:
        text = f"Of {count} members some predict better than {found.model.name}: {'; '.join(said)}."
    return CheckResult(name, bool(better.empty), table, name, f"{text} {gates}")


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
