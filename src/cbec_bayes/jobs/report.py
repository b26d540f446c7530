"""The job behind `cbec-bayes report`: a fit's folder in, everything that its page shows out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cbec_bayes.estimands.prior_posterior import prior_posterior
from cbec_bayes.estimands.shrinkage import ShrinkagePath
from cbec_bayes.jobs.check import CheckedFit, check_fit, checks_of_receipts
from cbec_bayes.jobs.compare import Compared, compare_fit, comparison_of_receipts
from cbec_bayes.jobs.fit import fit_folder
from cbec_bayes.jobs.fit_tables import FittedPanel
from cbec_bayes.jobs.questions import Question
from cbec_bayes.jobs.specifications import Specified, specified_of_receipts, specify
from cbec_bayes.jobs.study import posterior_path
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.fanout import SERIAL, Executor
from cbec_bayes.runtime.progress import OnProgress, ignore_progress

MAX_ROWS = 10_000
"""Rows of a panel up to which its report weighs specifications; the command does for any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedFit:
    """Everything that the report of a fit's folder shows.

    Attributes
    ----------
    fitted
        The fit and its tables.
    compared
        Beside its limits and the regressions, and whether slopes differ; see `cbec_bayes.jobs.compare.Compared`.
    checks
        Every check.
    path
        From complete to no pooling; None where there is none.
    tau_density
        Posterior density of log tau at the path's values.
    learned
        Densities of the scales before and after the data; see `cbec_bayes.estimands.prior_posterior.prior_posterior`.
    specified
        The slopes under every specification of a lattice; None where the panel is longer than `MAX_ROWS`.
    """

    fitted: FittedPanel
    compared: Compared
    checks: CheckedFit
    path: ShrinkagePath | None
    tau_density: Array | None
    learned: pd.DataFrame
    specified: Specified | None = None


def report_folder(
    folder: Path,
    *,
    seed: int | None = None,
    reuse: Sequence[Path] = (),
    executor: Executor = SERIAL,
    on_progress: OnProgress = ignore_progress,
) -> ReportedFit:
    """Compute everything that the report of a fit's folder shows.

    Parameters
    ----------
    folder, seed, executor, on_progress
        As in `cbec_bayes.jobs.check.check_folder`.
    reuse
        Folders in which `compare` and `check` may have left their results, which are then read and not computed again.

    Raises
    ------
    InputError
        The folder is not of a fit; the data is no longer there, or has changed.
    GateError
        The fit misses one of its gates.
    """
    return report_fit(
        fit_folder(folder, seed=seed, on_progress=on_progress),
        compared=comparison_of_receipts(reuse, folder, seed=seed),
        checks=checks_of_receipts(reuse, folder, seed=seed),
        specified=specified_of_receipts(reuse, folder, seed=seed),
        executor=executor,
        on_progress=on_progress,
    )


def report_fit(
    found: FittedPanel,
    *,
    compared: Compared | None = None,
    checks: CheckedFit | None = None,
    specified: Specified | None = None,
    executor: Executor = SERIAL,
    on_progress: OnProgress = ignore_progress,
) -> ReportedFit:
    """Compute everything that the report of a fit shows.

    Parameters
    ----------
    found
        The fit and its tables.
    compared, checks, specified
        Results of the same fit, where they are known already. Specifications that are not known are those of the
        reduced lattice, eight at the most.
    executor, on_progress
        As in `cbec_bayes.jobs.check.check_folder`.
    """
    if compared is None:
        compared = compare_fit(found, on_progress=on_progress)
    if checks is None:
        checks = check_fit(found, executor=executor, on_progress=on_progress)
    if specified is None and found.fit.design.n_obs <= MAX_ROWS:
        specified = specify(_question(found), executor=executor, on_progress=on_progress)
    path, density = None, None
    if found.fit.collapsed is not None and "tau" in found.fit.collapsed.names:
        path, density = posterior_path(found.fit, seed=found.seed)
    return ReportedFit(
        fitted=found,
        compared=compared,
        checks=checks,
        path=path,
        tau_density=density,
        learned=prior_posterior(found.fit),
        specified=specified,
    )


def _question(found: FittedPanel) -> Question:
    """Return the question about the panel of a fit under the reduced lattice."""
    return Question(
        design=found.fit.design,
        base=found.fit.model,
        ssc=found.ssc,
        seed=found.seed,
        reduced=True,
        ci=found.options.ci,
        content={},  # nothing is kept of unfinished work
    )
