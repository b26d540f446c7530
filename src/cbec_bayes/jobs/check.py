"""The job behind `cbec-bayes check`: a fit's folder in, every check of the fit out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from cbec_bayes.checks import CheckResult, checks_frame
from cbec_bayes.checks.severity import Severity
from cbec_bayes.checks.suite import CHECKS, CheckInputs, run_checks
from cbec_bayes.jobs.fit import fit_folder
from cbec_bayes.jobs.fit_settings import content, read_settings
from cbec_bayes.jobs.fit_tables import FittedPanel
from cbec_bayes.runtime import receipts
from cbec_bayes.runtime.exact import pack_or_none, texts_in, unpack
from cbec_bayes.runtime.fanout import SERIAL, Executor
from cbec_bayes.runtime.files import csv_text
from cbec_bayes.runtime.progress import OnProgress, Progress, ignore_progress

CHECK_FILES = ("checks.csv", *(f"check_{check.name}.{ending}" for check in CHECKS for ending in ("csv", "svg")))
"""Files that `check` may write."""


@dataclass(frozen=True, slots=True)
class CheckedFit:
    """The checks of a fit's folder.

    Attributes
    ----------
    model, exposure
        That was fitted; the regressor of interest.
    results
        Result of every check.
    """

    model: str
    exposure: str
    results: tuple[CheckResult, ...]

    def files(self) -> dict[str, str | bytes]:
        """Return checks.csv and a table per check that applies, by name."""
        tables = {f"check_{r.name}.csv": csv_text(r.table) for r in self.results if len(r.table)}
        return {"checks.csv": csv_text(checks_frame(self.results)), **tables}

    def packed(self) -> Any:
        """Return everything as what a receipt can hold, None where it cannot; see `checks_of_receipts`."""
        results = [
            {field.name: getattr(result, field.name) for field in fields(result)} | {"severity": str(result.severity)}
            for result in self.results
        ]
        return pack_or_none({"model": self.model, "exposure": self.exposure, "results": results})


def check_folder(
    folder: Path,
    *,
    seed: int | None = None,
    reuse: Sequence[Path] = (),
    executor: Executor = SERIAL,
    on_progress: OnProgress = ignore_progress,
) -> CheckedFit:
    """Run every check of the fit of a folder of `cbec-bayes fit`.

    Parameters
    ----------
    folder
        With fit.json.
    seed
        Seed of everything random; default the fit's own.
    reuse
        Folders in which the results of the same checks may be; see `checks_of_receipts`.
    executor
        Who does the refits; see `cbec_bayes.runtime.fanout.open_executor`.
    on_progress
        Called with the name of each step.

    Raises
    ------
    InputError
        The folder is not of a fit; the data is no longer there, or has changed.
    GateError
        The fit misses one of its gates.
    """
    held = checks_of_receipts(reuse, folder, seed=seed)
    if held is not None:
        return held
    return check_fit(fit_folder(folder, seed=seed, on_progress=on_progress), executor=executor, on_progress=on_progress)


def check_fit(
    found: FittedPanel, *, executor: Executor = SERIAL, on_progress: OnProgress = ignore_progress
) -> CheckedFit:
    """Run every check of a fit; parameters are those of `check_folder`."""
    on_progress(Progress("checks"))
    inputs = CheckInputs(fit=found.fit, ssc=found.ssc, seed=found.seed, executor=executor, on_progress=on_progress)
    return CheckedFit(found.fit.model.name, found.fit.design.terms[0], run_checks(inputs))


def _results(held: Sequence[Mapping[str, Any]]) -> tuple[CheckResult, ...]:
    return tuple(CheckResult(**{**one, "severity": Severity(one["severity"])}) for one in held)


def checks_of_receipts(places: Sequence[Path], folder: Path, *, seed: int | None = None) -> CheckedFit | None:
    """Return the checks that `check` or `report` left in one of several folders; None where no receipt of them holds.

    Parameters
    ----------
    places
        Folders, in the order in which they are looked into.
    folder, seed
        As in `check_folder`; what the checks must be of.
    """
    if not places:
        return None
    for packed in receipts.results(places, "check", content(read_settings(folder, seed=seed), folder)):
        try:
            held = unpack(packed)
            model, exposure = texts_in([held["model"], held["exposure"]])
            found = CheckedFit(model, exposure, _results(held["results"]))
        except (KeyError, TypeError, ValueError):
            continue
        if [result.name for result in found.results] == [check.name for check in CHECKS]:
            return found
    return None
