"""The job behind `cbec-bayes check`: a fit's folder in, every check of the same fit out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cbec_bayes.checks import CheckResult, checks_frame
from cbec_bayes.checks.suite import Trial, run_checks
from cbec_bayes.errors import InputError
from cbec_bayes.fanout import SERIAL, Executor
from cbec_bayes.files import csv_text
from cbec_bayes.panelfit import SETTINGS, fit_file


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
    run_by: Executor = SERIAL,
    step: Callable[[str], None] = lambda _: None,
) -> CheckedFit:
    """Fit again what a folder of `cbec-bayes fit` says, and run every check.

    Parameters
    ----------
    folder
        With fit.json.
    seed
        Of everything random; default the fit's own.
    run_by
        Who does the refits; see `cbec_bayes.fanout.executor`.
    step
        Called with the name of each step.

    Raises
    ------
    InputError
        The folder is not of a fit; the data is no longer there, or has changed.
    """
    settings = folder / SETTINGS
    try:
        asked = json.loads(settings.read_text(encoding="utf-8"))
        data, digest = Path(asked.pop("data")), asked.pop("sha256")
        options = {key: asked[key] for key in ("outcome", "exposure", "controls", "unit", "time", "group", "model")}
        options |= {key: asked[key] for key in ("engine", "how")} | {"seed": asked["seed"] if seed is None else seed}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"no folder of a fit: `cbec-bayes fit ... --out {folder}` writes one", file=settings) from None
    if not data.is_file():
        raise InputError("the fit's data is no longer there", file=data)
    if hashlib.sha256(data.read_bytes()).hexdigest() != digest:
        raise InputError("the data has changed since the fit; fit it again", file=data)
    found = fit_file(data, **options, step=step)
    found.fit.diagnostics.require()
    step("checks")
    trial = Trial(found.fit, options["how"], found.panel.origin, seed=options["seed"], run_by=run_by)
    results = run_checks(trial)
    return CheckedFit(found.fit.model.name, found.fit.design.terms[0], results)
