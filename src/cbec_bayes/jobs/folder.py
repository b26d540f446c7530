"""The jobs behind `cbec-bayes check`, `compare` and `report`: a fit's folder in, their tables out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cbec_bayes.checks import CheckResult, checks_frame
from cbec_bayes.checks.suite import CheckInputs, run_checks
from cbec_bayes.estimands.shrinkage import ShrinkagePath
from cbec_bayes.jobs.compare import compare
from cbec_bayes.jobs.fit import FittedPanel, fit_folder
from cbec_bayes.jobs.study import posterior_path
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.fanout import SERIAL, Executor
from cbec_bayes.runtime.files import csv_text
from cbec_bayes.runtime.progress import OnProgress, Progress, ignore_progress


@dataclass(frozen=True, slots=True)
class CheckedFit:
    """The checks of a fit's folder.

    Attributes
    ----------
    model, exposure
        That was fitted; the regressor of interest.
    results
        Of every check.
    """

    model: str
    exposure: str
    results: tuple[CheckResult, ...]

    def files(self) -> dict[str, str | bytes]:
        """Return checks.csv and a table per check that applies, by name."""
        tables = {f"check_{r.name}.csv": csv_text(r.table) for r in self.results if len(r.table)}
        return {"checks.csv": csv_text(checks_frame(self.results)), **tables}


def check_folder(
    folder: Path,
    *,
    seed: int | None = None,
    executor: Executor = SERIAL,
    on_progress: OnProgress = ignore_progress,
) -> CheckedFit:
    """Fit again what a folder of `cbec-bayes fit` says, and run every check.

    Parameters
    ----------
    folder
        With fit.json.
    seed
        Of everything random; default the fit's own.
    executor
        Who does the refits; see `cbec_bayes.runtime.fanout.open_executor`.
    on_progress
        Called with the name of each step.

    Raises
    ------
    InputError
        The folder is not of a fit; the data is no longer there, or has changed.
    """
    found = fit_folder(folder, seed=seed, on_progress=on_progress)
    on_progress(Progress("checks"))
    return _checked(found, executor, on_progress)


def _checked(found: FittedPanel, executor: Executor, on_progress: OnProgress) -> CheckedFit:
    trial = CheckInputs(fit=found.fit, ssc=found.ssc, seed=found.seed, executor=executor, on_progress=on_progress)
    return CheckedFit(found.fit.model.name, found.fit.design.terms[0], run_checks(trial))


def compare_folder(folder: Path, *, seed: int | None = None, on_progress: OnProgress = ignore_progress) -> pd.DataFrame:
    """Fit again what a folder says, and set it beside its limits; parameters and errors are those of `check_folder`."""
    found = fit_folder(folder, seed=seed, on_progress=on_progress)
    on_progress(Progress("the two limits, and the regressions"))
    return compare(found.fit, found.ssc, seed=found.seed, on_progress=on_progress)


@dataclass(frozen=True, slots=True)
class ReportedFit:
    """Everything that the report of a fit's folder shows.

    Attributes
    ----------
    fitted
        The fit and its tables.
    compared
        Beside its limits and the regressions; see `cbec_bayes.jobs.compare.compare`.
    checks
        Every check.
    path
        From complete to no pooling; None where there is none.
    tau_density
        Posterior density of log tau at the path's values.
    """

    fitted: FittedPanel
    compared: pd.DataFrame
    checks: CheckedFit
    path: ShrinkagePath | None
    tau_density: Array | None


def report_folder(
    folder: Path,
    *,
    seed: int | None = None,
    executor: Executor = SERIAL,
    on_progress: OnProgress = ignore_progress,
) -> ReportedFit:
    """Compute everything that the report of a fit's folder shows; parameters and errors are those of `check_folder`."""
    return report_fit(
        fit_folder(folder, seed=seed, on_progress=on_progress), executor=executor, on_progress=on_progress
    )


def report_fit(
    found: FittedPanel, *, executor: Executor = SERIAL, on_progress: OnProgress = ignore_progress
) -> ReportedFit:
    """Compute everything that the report of a fit shows.

    Parameters
    ----------
    found
        The fit and its tables.
    executor, on_progress
        As in `check_folder`.
    """
    on_progress(Progress("the two limits, and the regressions"))
    compared = compare(found.fit, found.ssc, seed=found.seed, on_progress=on_progress)
    on_progress(Progress("checks"))
    checks = _checked(found, executor, on_progress)
    path, density = None, None
    if found.fit.collapsed is not None and "tau" in found.fit.collapsed.names:
        path, density = posterior_path(found.fit, seed=found.seed)
    return ReportedFit(found, compared, checks, path, density)
