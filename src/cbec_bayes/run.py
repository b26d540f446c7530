"""The main job: compute a study, render its report, write everything whole, with a manifest."""

from __future__ import annotations

import json
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from cbec_bayes.files import asset_dir, sha256, write_files
from cbec_bayes.published.reanalysis import STEPS, Reanalysis, Step, reanalyse
from cbec_bayes.report.page import render
from cbec_bayes.spec import Study, load_study

PACKAGES = ("cbec_bayes", "arviz", "nutpie", "numpy", "pandas", "pymc", "scipy")


def input_hashes(study: Study) -> dict[str, str]:
    """Return the SHA-256 of every file that a study's result depends on, by path inside the project."""
    data, models = asset_dir("data"), asset_dir("models")
    own = [
        data / "studies" / f"{study.name}.toml",
        *(data / "published" / study.tables).iterdir(),
        *(data / "regions").glob("*.csv"),
    ]
    used = {study.model, *study.sensitivity}
    return {
        **{f"data/{name}": digest for name, digest in sha256(own, data).items()},
        **{f"models/{n}": digest for n, digest in sha256([models / f"{m}.toml" for m in used], models).items()},
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that the numbers depend on."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in PACKAGES}}


def manifest(study: Study, seed: int) -> dict[str, Any]:
    """Return what is needed to make the same report again; no time, place or machine, so that it compares equal."""
    return {"study": study.name, "seed": seed, "versions": versions(), "inputs": input_hashes(study)}


def run(study_name: str, out: Path, *, seed: int = 1, step: Step = lambda _: None) -> tuple[Reanalysis, list[Path]]:
    """Run a study and write its report.

    Parameters
    ----------
    study_name
        One of `cbec_bayes.spec.study_names()`.
    out
        Folder; the page is ``reanalysis.html``, tables and manifest are beside it.
    seed
        Seed of everything that is sampled.
    step
        Called with the name of each step as it begins.

    Returns
    -------
    analysis, paths
        The results, and the files written, the page first.
    """
    study = load_study(study_name)
    analysis = reanalyse(study, seed=seed, step=step)
    step(STEPS[-1])
    made = manifest(study, seed)
    page = render(analysis, made)
    files = {
        "reanalysis.html": page.html,
        **page.files,
        "manifest.json": json.dumps(made, indent=1) + "\n",
    }
    return analysis, write_files(out, files)
