"""The job behind `cbec-bayes report`: a fit's folder in, everything that its page shows out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cbec_bayes.estimands.prior_posterior import prior_posterior
from cbec_bayes.jobs.check import CheckedFit, check_fit, checks_of_receipts
from cbec_bayes.jobs.compare import Compared, compare_fit, comparison_of_receipts
from cbec_bayes.jobs.fit import fit_folder
from cbec_bayes.jobs.fit_tables import FittedPanel
from cbec_bayes.runtime.fanout import SERIAL, Executor
from cbec_bayes.runtime.progress import OnProgress, ignore_progress


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedFit:
    """Everything that the report of a fit's folder shows.

    Attributes
    ----------
    fitted
        The fit and its tables.
    compared
        Beside its limits, the regressions and other specifications, and whether slopes differ; see
        `cbec_bayes.jobs.compare.Compared`.
    checks
        Every check.
    learned
        Densities of the scales before and after the data; see `cbec_bayes.estimands.prior_posterior.prior_posterior`.
    """

    fitted: FittedPanel
    compared: Compared
    checks: CheckedFit
    learned: pd.DataFrame


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
        executor=executor,
        on_progress=on_progress,
    )


def report_fit(
    found: FittedPanel,
    *,
    compared: Compared | None = None,
    checks: CheckedFit | None = None,
    executor: Executor = SERIAL,
    on_progress: OnProgress = ignore_progress,
) -> ReportedFit:
    """Compute everything that the report of a fit shows.

    Parameters
    ----------
    found
        The fit and its tables.
    compared, checks
        Results of the same fit, where they are known already.
    executor, on_progress
        As in `cbec_bayes.jobs.check.check_folder`.
    """
    compared = compare_fit(found, compared, executor=executor, on_progress=on_progress)
    if checks is None:
        checks = check_fit(found, executor=executor, on_progress=on_progress)
    return ReportedFit(fitted=found, compared=compared, checks=checks, learned=prior_posterior(found.fit))
