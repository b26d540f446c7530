"""Every check of one fitted model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.bayes.predictive import predictive_outcomes
from cbec_bayes.checks.agreement import agreement
from cbec_bayes.checks.cells import Place, predictive_cells
from cbec_bayes.checks.comparison import left_out_groups, left_out_rows, model_comparison
from cbec_bayes.checks.influence import leave_out
from cbec_bayes.checks.leftout import Predictions, gaussian_members, predictions
from cbec_bayes.checks.prior import prior_predictive
from cbec_bayes.checks.replicable import LEAST, TOO_LARGE, replicable, room
from cbec_bayes.checks.residuals import predictive_residuals
from cbec_bayes.checks.result import CheckResult, checks_frame, not_applying
from cbec_bayes.checks.sensitivity import between_group_prior, power_scaling
from cbec_bayes.classical.tables import MOST_GROUPS, ColumnSpec, own_columns
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import InputError, suggest
from cbec_bayes.runtime.fanout import SERIAL, Executor
from cbec_bayes.runtime.progress import OnProgress, Progress, ignore_progress


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckInputs:
    """A fit, and what it is tried against.

    Attributes
    ----------
    fit
        A fitted model, of either engine.
    ssc
        Convention of the clustered standard errors.
    columns
        Columns of the classical tables; default those of `cbec_bayes.classical.tables.own_columns`, each group's where
        there are at most `MOST_GROUPS`.
    printed
        Printed numbers by place.
    members
        Names of the models that it is compared with; default all that the collapsed engine fits.
    others
        Fits of members that it does not, by name, which are then compared as well.
    seed
        Seed of everything random.
    executor
        Who does the refits; see `cbec_bayes.runtime.fanout.open_executor`.
    on_progress
        Called with a line as each refit ends.
    """

    fit: PanelFit
    ssc: str = "reghdfe"
    columns: Sequence[ColumnSpec] | None = None
    printed: Mapping[Place, float] = field(default_factory=dict)
    members: Sequence[str] | None = None
    others: Mapping[str, PanelFit] = field(default_factory=dict)
    seed: int = 1
    executor: Executor = SERIAL
    on_progress: OnProgress = ignore_progress

    @property
    def tried_columns(self) -> tuple[ColumnSpec, ...]:
        """Columns of the classical tables."""
        return own_columns(self.fit.design, MOST_GROUPS) if self.columns is None else tuple(self.columns)


class CheckContext:
    """A trial with what several checks share, computed when the first of them asks."""

    def __init__(self, trial: CheckInputs) -> None:
        self.trial, self.fit = trial, trial.fit

    @property
    def shared(self) -> dict[str, Any]:
        """What every check with refits is told: seed, executor, step."""
        return {"seed": self.trial.seed, "executor": self.trial.executor, "on_progress": self.trial.on_progress}

    @cached_property
    def replicable(self) -> PanelFit | None:
        """The fit with effects of every unit; None where the panel is too large for that."""
        return replicable(self.fit, seed=self.trial.seed)

    def outcomes(self, *, new_units: bool) -> Array:
        """Replicate outcomes of the same or of new units, shape (S, n)."""
        assert self.replicable is not None
        draws = max(LEAST, room(self.fit, 4_000))
        return predictive_outcomes(self.replicable, new_units=new_units, draws=draws, seed=self.trial.seed)

    @cached_property
    def same(self) -> Array:
        """Replicated outcomes of the same units, shape (S, n)."""
        return self.outcomes(new_units=False)

    @cached_property
    def new(self) -> Array:
        """Replicated outcomes of new units, shape (S, n)."""
        return self.outcomes(new_units=True)

    def before_data(self) -> CheckResult:
        """Hold the data against outcomes drawn from the priors."""
        assert self.replicable is not None
        trial, draws = self.trial, max(LEAST, room(self.fit, 2_000))
        columns, printed = trial.tried_columns, trial.printed
        return prior_predictive(self.replicable, columns, trial.ssc, printed, draws=draws, seed=trial.seed)

    @cached_property
    def predicted(self) -> Predictions:
        """What the members predict of what is left out."""
        trial = self.trial
        members = [*(gaussian_members() if trial.members is None else trial.members), *trial.others]
        return predictions(self.fit, members, others=trial.others, **self.shared)

    def cells(self, *, new_units: bool) -> CheckResult:
        """Hold the classical cells against those of replicated outcomes."""
        outcomes = self.new if new_units else self.same
        trial, design = self.trial, self.fit.design
        return predictive_cells(design, trial.tried_columns, trial.ssc, outcomes, trial.printed, new_units=new_units)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """An entry of `CHECKS`.

    Attributes
    ----------
    name
        Name of the check, and of its files; that of the `CheckResult`.
    title
        What a reader calls it.
    run
        Gives the result.
    predictive
        Whether it holds replicated outcomes against the data: every member of a study is put to these.
    shown
        Whether a page shows its figure at once; others are folded away.
    replicates
        Whether it replicates outcomes otherwise, as from the priors.
    leaves_out
        Whether it fits the data again less some of them, or other members.
    piece
        Checks with the same one share much of what they compute, and are best run together.
    """

    name: str
    title: str
    run: Callable[[CheckContext], CheckResult]
    predictive: bool = False
    shown: bool = False
    replicates: bool = False
    leaves_out: bool = False
    piece: str = ""

    def result(self, tried: CheckContext) -> CheckResult:
        """Run the check where it applies."""
        if (self.predictive or self.replicates) and tried.replicable is None:
            return not_applying(self.name, ["origin"], TOO_LARGE)
        return self.run(tried)


CHECKS = [
    Check(
        name="predictive_cells",
        title="Classical tables of replicated outcomes, same units",
        run=lambda t: t.cells(new_units=False),
        predictive=True,
        shown=True,
        piece="replicates",
    ),
    Check(
        name="predictive_cells_new",
        title="Classical tables of replicated outcomes, new units",
        run=lambda t: t.cells(new_units=True),
        predictive=True,
        piece="replicates",
    ),
    Check(
        name="predictive_residuals",
        title="Distribution, serial correlation, spread, extremes",
        run=lambda t: predictive_residuals(t.fit, t.same, **t.shared),
        predictive=True,
        shown=True,
        piece="replicates",
    ),
    Check(
        name="prior_predictive",
        title="What the priors say before the data",
        run=CheckContext.before_data,
        replicates=True,
        piece="replicates",
    ),
    Check(
        name="agreement",
        title="Agreement with the classical regressions",
        run=lambda t: agreement(t.fit, t.trial.ssc, **t.shared),
        piece="refits",
    ),
    Check(
        name="between_group_prior",
        title="Prior of the between-group scale",
        run=lambda t: between_group_prior(t.fit, **t.shared),
        piece="refits",
    ),
    Check(
        name="power_scaling",
        title="Top-level priors raised to powers",
        run=lambda t: power_scaling(t.fit),
        piece="refits",
    ),
    Check(
        name="leave_one_group_out",
        title="One group left out",
        run=lambda t: leave_out(t.fit, "group", **t.shared),
        leaves_out=True,
        piece="left out",
    ),
    Check(
        name="leave_one_unit_out",
        title="One unit left out",
        run=lambda t: leave_out(t.fit, "unit", **t.shared),
        shown=True,
        leaves_out=True,
        piece="left out",
    ),
    Check(
        name="left_out_rows",
        title="Each row predicted from all others",
        run=lambda t: left_out_rows(t.fit, t.predicted, seed=t.trial.seed),
        leaves_out=True,
        piece="predictions",
    ),
    Check(
        name="left_out_groups",
        title="Each group predicted from the others",
        run=lambda t: left_out_groups(t.fit, t.predicted, seed=t.trial.seed),
        leaves_out=True,
        piece="predictions",
    ),
    Check(
        name="model_comparison",
        title="Other members, by what they predict",
        run=lambda t: model_comparison(t.fit, t.predicted, others=t.trial.others, **t.shared),
        shown=True,
        leaves_out=True,
        piece="predictions",
    ),
]
"""Every check, in the order in which they are shown; a new one is a function of a `CheckContext`, and an entry here."""


def title_of(name: str) -> str:
    """Return what a reader calls a check."""
    return next((check.title for check in CHECKS if check.name == name), name)


def predictive_checks(trial: CheckInputs) -> tuple[CheckResult, ...]:
    """Run the predictive checks: the classical tables' cells for the same and for new units, and the residuals."""
    tried = CheckContext(trial)
    return tuple(check.result(tried) for check in CHECKS if check.predictive)


def checks_asked(*, leaving_out: bool = True) -> tuple[Check, ...]:
    """Return every check, or those alone that leave nothing out and compare with no other member."""
    return tuple(check for check in CHECKS if leaving_out or not check.leaves_out)


def run_checks(trial: CheckInputs, *, leaving_out: bool = True, piece: str | None = None) -> tuple[CheckResult, ...]:
    """Run every check: predictive ones, priors, agreement with the regressions, what is left out, other members.

    Parameters
    ----------
    trial
        A fit, and what it is tried against.
    leaving_out
        Whether those run as well that leave out units, groups or rows, or compare with other members; they take most of
        the time.
    piece
        One of `pieces_of_checks`, of which alone the checks are run; None for all.
    """
    tried = CheckContext(trial)
    found = []
    for check in checks_asked(leaving_out=leaving_out):
        if piece in (None, check.piece or check.name):
            trial.on_progress(Progress(check.title.lower()))
            found.append(check.result(tried))
    return tuple(found)


def pieces_of_checks(*, leaving_out: bool = True) -> tuple[str, ...]:
    """Return the parts in which checks can be run side by side: by `Check.piece`, or by name where it is blank."""
    return tuple(dict.fromkeys(check.piece or check.name for check in checks_asked(leaving_out=leaving_out)))


@dataclass(frozen=True, slots=True)
class Checks:
    """Every check of a fit, as a table in a notebook.

    Attributes
    ----------
    results
        One per check; by name also as an item: ``checks["left_out_rows"]``.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> few = frame[frame["firm"] < "firm 07"]
    >>> fit = cb.fit("sales ~ price | firm + year", "complete_pooling", data=few)
    >>> [result.name for result in cb.check(fit).results][-2:]
    ['left_out_groups', 'model_comparison']
    """

    results: tuple[CheckResult, ...]

    def __getitem__(self, name: str) -> CheckResult:
        by_name = {result.name: result for result in self.results}
        if name not in by_name:
            raise InputError(f"unknown check '{name}'; {suggest(name, tuple(by_name))}")
        return by_name[name]

    def frame(self) -> pd.DataFrame:
        """Return one row per check: check, passed, text, severity."""
        return checks_frame(self.results)

    def _repr_html_(self) -> str:
        return str(self.frame().to_html(index=False))


def check(
    fit: PanelFit,
    ssc: str = "reghdfe",
    *,
    only: Sequence[str] = (),
    seed: int = 1,
    executor: Executor = SERIAL,
) -> Checks:
    """Try a fit; the Python form of `cbec-bayes check`.

    Parameters
    ----------
    fit
        A fitted model, of either engine.
    ssc
        Convention of the clustered standard errors.
    only
        Names of the checks that are run, as ``("predictive_residuals",)``; default all of them.
    seed
        Seed of everything random.
    executor
        Who does the refits; see `cbec_bayes.runtime.fanout.open_executor`.

    Raises
    ------
    InputError
        There is no check of a name.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> few = frame[frame["firm"] < "firm 07"]
    >>> fit = cb.fit("sales ~ price | firm + year", "complete_pooling", data=few)
    >>> checks = cb.check(fit, only=("predictive_cells", "predictive_cells_new", "predictive_residuals"))
    >>> checks.frame()[["check", "severity"]]
                      check severity
    0      predictive_cells     fine
    1  predictive_cells_new     fine
    2  predictive_residuals     fine
    """
    trial = CheckInputs(fit=fit, ssc=ssc, seed=seed, executor=executor)
    if not only:
        return Checks(run_checks(trial))
    known = {one.name: one for one in CHECKS}
    for name in only:
        if name not in known:
            raise InputError(f"unknown check '{name}'; {suggest(name, tuple(known))}")
    tried = CheckContext(trial)
    return Checks(tuple(known[name].result(tried) for name in only))
