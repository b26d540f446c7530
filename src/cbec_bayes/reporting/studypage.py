"""The report of a study as files: the page of `cbec_bayes.reporting.page`, its parts, and the manifest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cbec_bayes.jobs.inputs import read_by
from cbec_bayes.jobs.reanalysis import Reanalysis
from cbec_bayes.jobs.results import StudyResults
from cbec_bayes.jobs.run import STEPS, UNFINISHED, run_study
from cbec_bayes.panel.study import load_study
from cbec_bayes.reporting.files import TABLE_FILES
from cbec_bayes.reporting.page import render
from cbec_bayes.runtime.folder import OutFolder
from cbec_bayes.runtime.progress import OnProgress, Progress, ignore_progress
from cbec_bayes.runtime.staging import locked

PAGE = "reanalysis.html"

STUDY_FILES = (PAGE, "manifest.json", "figures/*.svg", *TABLE_FILES)
"""Files of a study's report, by name or by pattern."""


def study_files(found: StudyResults, *, on_progress: OnProgress = ignore_progress) -> dict[str, str]:
    """Return the files of a study's report by name: the page first, its tables and figures, and the manifest.

    Parameters
    ----------
    found
        From `cbec_bayes.jobs.run.run_study`.
    on_progress
        Called with the last of `cbec_bayes.jobs.run.STEPS`.
    """
    on_progress(Progress(STEPS[-1]))
    page = render(found)
    return {PAGE: page.html, **page.files, "manifest.json": json.dumps(found.manifest, indent=1) + "\n"}


def report_study(
    study: str | Path, out: Path, *, on_progress: OnProgress = ignore_progress, **options: Any
) -> tuple[Reanalysis, list[Path]]:
    """Make the report of a study and write it; the Python form of `cbec-bayes run`.

    Parameters
    ----------
    study, out, on_progress
        As in `cbec_bayes.jobs.run.run_study`.
    **options
        Further ones of `run_study`.

    Returns
    -------
    analysis, paths
        Analysis of the printed tables, and the files written, the page first.
    """
    reads = read_by(load_study(study))
    place = OutFolder(path=out, commands=("run",), names=STUDY_FILES, reads=reads, journals=[UNFINISHED])
    with locked(out):
        place.vet()
        found = run_study(study, out, on_progress=on_progress, **options)
        files = study_files(found, on_progress=on_progress)
        place.write({"run": files})
        found.journal.remove()
    return found.analysis, [out / name for name in files]
