"""What the model predicts of what it has not seen: rows, units and groups left out, beside the other members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.bayes.loo import Fold, LooTask, leave_one_out, parts
from cbec_bayes.bayes.model.blocks import blocks_for
from cbec_bayes.bayes.model.family import PanelModel, load_panel_model, panel_model_names
from cbec_bayes.bayes.sampling.nuts import KHAT_MAX
from cbec_bayes.checks.result import FAMILY_LEVEL, CheckResult, counted
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import CbecBayesError
from cbec_bayes.runtime.fanout import SERIAL, Executor, fan_out
from cbec_bayes.runtime.progress import OnProgress, ignore_progress

QUESTIONS: Mapping[Fold, str] = {
    "row": "How well is a period of a unit predicted from all other rows?",
    "unit": "How well are the changes of a unit not yet seen predicted from the other units?",
    "group": "How well are the changes of a group not yet seen predicted from the other groups?",
}
"""What leaving out each kind of part asks."""

ROW_COLUMNS = ("row", "elpd", "khat", "p", "origin")
GROUP_COLUMNS = ("group", "elpd", "elpd_complete_pooling", "difference", "khat", "origin")
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
)

SMALL = 4.0
"""Differences of log densities up to this are not told apart (Sivula, Magnusson, Matamoros and Vehtari, 2023)."""

MAX_ROWS = 5_000
MAX_PARTS = 200
MAX_SCALES = 12
"""Rows of a panel, and parts of it, up to which each is left out; scales of a member up to which it takes part."""

MAX_WORK = 2e7
"""Rows times squared coefficients of a member up to which it takes part: minutes, for a density per row and draw."""

type Answers = Mapping[tuple[str, Fold], Mapping[str, Array]]
"""Model and what is left out, to elpd, khat and p of each part."""


def gaussian_members() -> tuple[str, ...]:
    """Return the members that the collapsed engine fits."""
    return tuple(name for name in panel_model_names() if load_panel_model(name).is_gaussian)


def answer(question: LooTask) -> dict[str, list[float]]:
    """Answer a question, or return nothing where the model cannot be fitted to these data."""
    try:
        return leave_one_out(question)
    except CbecBayesError:
        return {}


def n_scales(model: PanelModel, design: Design) -> int:
    """Return how many scales a member samples on a design: one per group, or control, of some terms."""
    each = {"phi": len(design.terms) - 1, "sigma": len(design.groups) if model.residual == "by_group" else 1}
    return sum(each.get(scale, 1) for scale in model.scales)


def affordable(model: PanelModel, design: Design) -> bool:
    """Whether a member can answer for a panel in minutes, and can be laid out on it at all."""
    try:
        blocks = blocks_for(design, model)
    except CbecBayesError:
        return False
    effects = len(design.units) if model.residual == "ar1" else 0
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
) -> Answers:
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
    seed, run_by, on_progress
        As in `cbec_bayes.runtime.fanout.fan_out`.
    """
    own = found.model
    members = {own.name: own} | {name: load_panel_model(name) for name in models if name != own.name}
    most: Mapping[Fold, int] = {"row": MAX_ROWS, "unit": MAX_PARTS, "group": MAX_PARTS}
    applies = found.collapsed is not None and found.design.n_obs <= MAX_ROWS
    kinds = [what for what in QUESTIONS if applies and 1 < len(parts(found.blocks, what)[1]) <= most[what]]
    gaussian = [m for m in members.values() if m.is_gaussian and affordable(m, found.design)]
    asked = [LooTask(found.design, model, what, seed) for model in gaussian for what in kinds]
    answered = fan_out(executor, answer, asked, on_progress=on_progress, named="question to a member")
    answers: dict[tuple[str, Fold], Mapping[str, Array]] = {
        (question.model.name, question.what): {k: np.array(v, dtype=float) for k, v in one.items()}
        for question, one in zip(asked, answered, strict=True)
        if one
    }
    for name, other in (others or {}).items():
        if name in members and not members[name].is_gaussian:
            answers[name, "row"] = _given_effects(other)
    return answers


def _given_effects(fit: PanelFit) -> dict[str, Array]:
    import warnings

    import arviz as az

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of shapes above the limit, which are reported
        loo = az.loo(fit.tree, pointwise=True)
    elpd = np.asarray(loo.elpd_i.to_numpy(), dtype=float).ravel()
    return {
        "elpd": elpd,
        "khat": np.asarray(loo.pareto_k.to_numpy(), dtype=float).ravel(),
        "p": np.full(len(elpd), np.nan),
    }


def left_out_rows(found: PanelFit, answers: Answers) -> CheckResult:
    """Hold every row against its density given all others.

    Returns
    -------
    CheckResult
        It fails where a row lies farther out than the farthest of as many would in one panel of twenty, or where a
        Pareto shape is above 0.7 although the model was refitted.
    """
    name = "left_out_rows"
    empty = pd.DataFrame(columns=list(ROW_COLUMNS))
    if (found.model.name, "row") not in answers:
        return CheckResult(name, None, empty, None, _NOT_APPLICABLE)
    answer = answers[found.model.name, "row"]
    labels = parts(found.blocks, "row")[1]
    columns = (labels, answer["elpd"], answer["khat"], answer["p"])
    table = pd.DataFrame(dict(zip(ROW_COLUMNS, columns, strict=False))).assign(origin=str(found.design.origin))
    known = table["p"].dropna()
    far = table[table["p"] < FAMILY_LEVEL / max(len(known), 1)].sort_values("p")
    unsure = int((table["khat"] > KHAT_MAX).sum())
    lost = int(table["elpd"].isna().sum())
    named = ", ".join(far["row"].head(4)) + (f" and {len(far) - 4} more" if len(far) > 4 else "")
    notes = f"; {lost} cannot be predicted" if lost else ""
    notes += f"; {unsure} densities are unreliable" if unsure else ""
    text = (
        f"Each row is predicted from all others (elpd {table['elpd'].sum():.1f}, largest Pareto shape "
        f"{table['khat'].max():.2f}): {counted(len(far), len(table), 'rows')} farther out than the farthest of so many "
        f"would in 19 of 20 panels{': ' + named if named else ''}{notes}."
    )
    return CheckResult(name, bool(far.empty) and not unsure, table, name, text)


_NOT_APPLICABLE = (
    f"What is left out is predicted for models of the collapsed engine, panels up to {MAX_ROWS} rows, two parts or "
    "more, and as many coefficients as take minutes."
)


def left_out_groups(found: PanelFit, answers: Answers) -> CheckResult:
    """Hold the density of each group given the others against that under one slope for all.

    Returns
    -------
    CheckResult
        It fails where one slope for all predicts groups that were not seen better, by more than `SMALL` in all.
    """
    name = "left_out_groups"
    empty = pd.DataFrame(columns=list(GROUP_COLUMNS))
    keys: list[tuple[str, Fold]] = [(found.model.name, "group"), ("complete_pooling", "group")]
    if any(key not in answers for key in keys):
        return CheckResult(name, None, empty, None, _NOT_APPLICABLE)
    own, one = (answers[key]["elpd"] for key in keys)
    columns = (found.design.groups, own, one, own - one, answers[keys[0]]["khat"])
    table = pd.DataFrame(dict(zip(GROUP_COLUMNS, columns, strict=False))).assign(origin=str(found.design.origin))
    if np.isnan(own).any():
        text = (
            f"The model {found.model.name} has flat coefficients of groups, so that it predicts none it has not seen."
        )
        return CheckResult(name, None, table, None, text)
    total = float((own - one).sum())
    which = "better" if total > 0 else "worse"
    verdict = f"{which} by {abs(total):.1f}" if abs(total) > SMALL else f"no differently ({total:+.1f})"
    text = (
        f"Each of {len(table)} groups is predicted from the others, in its changes within units: in all "
        f"{verdict.replace('-', chr(0x2212))} than under one slope for all, in logarithms of densities."
    )
    return CheckResult(name, total >= -SMALL, table, name, text)


def model_comparison(found: PanelFit, answers: Answers) -> CheckResult:
    """Compare members by what they predict, question by question.

    Returns
    -------
    CheckResult
        `difference` is the elpd less the fitted model's, over the parts that both predict, with the standard error of a
        sum of paired differences. It fails where a member predicts better by more than `SMALL` and by two standard
        errors.
    """
    name = "model_comparison"
    table = comparison_table(found, answers)
    if table.empty or table["model"].nunique() < 2:
        return CheckResult(name, None, table, None, _NOT_APPLICABLE)
    better = table[(table["difference"] > SMALL) & (table["difference"] > 2 * table["difference_se"])]
    said = []
    for what in QUESTIONS:
        rows = better[better["left_out"] == what].sort_values("difference", ascending=False)
        if len(rows):
            best = rows.iloc[0]
            said.append(f"a {what} left out is predicted better by {best['model']} ({best['difference']:+.1f})")
    count = table["model"].nunique()
    text = f"Of {count} members none predicts what is left out better than {found.model.name}."
    if said:
        text = f"Of {count} members some predict better than {found.model.name}: {'; '.join(said)}."
    return CheckResult(name, bool(better.empty), table, name, text)


def comparison_table(found: PanelFit, answers: Answers) -> pd.DataFrame:
    """Return one row per question and model, with columns `COMPARISON_COLUMNS`."""
    rows = []
    for what, question in QUESTIONS.items():
        own = answers.get((found.model.name, what))
        for (model, kind), answer in answers.items():
            if kind != what or own is None:
                continue
            elpd, khat = answer["elpd"], answer["khat"]
            there = ~np.isnan(elpd)
            both = there & ~np.isnan(own["elpd"])
            apart = (elpd - own["elpd"])[both]
            shapes = khat[~np.isnan(khat)]
            rows.append(
                (
                    what,
                    question,
                    model,
                    load_panel_model(model).question if model != found.model.name else found.model.question,
                    len(elpd),
                    int(there.sum()),
                    float(elpd[there].sum()) if there.any() else np.nan,
                    _error(elpd[there]),
                    float(apart.sum()) if both.any() else np.nan,
                    _error(apart),
                    float(shapes.max()) if len(shapes) else np.nan,
                    int((np.isnan(khat) & there).sum()),
                    str(found.design.origin),
                )
            )
    return pd.DataFrame(rows, columns=list(COMPARISON_COLUMNS))


def _error(values: Array) -> float:
    """Return the standard error of a sum."""
    return float(np.sqrt(len(values)) * values.std(ddof=1)) if len(values) > 1 else np.nan
