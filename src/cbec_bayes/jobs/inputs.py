"""What the results of a study depend on: every file by its digest, versions, the seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cbec_bayes.jobs.calibrate import FILES, FOLDER
from cbec_bayes.jobs.study import STUDY_MODELS
from cbec_bayes.panel.entropy import system_file
from cbec_bayes.panel.study import Study, load_study
from cbec_bayes.published.printed import load_paper
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.files import asset_dir, sha256
from cbec_bayes.runtime.versions import versions


def together(study: Study) -> tuple[Study, ...]:
    """Return a study and those that are reported beside it; two of one name raise `InputError`."""
    found = [study]
    for one in map(load_study, study.beside):
        if one.name in {other.name for other in found}:
            raise InputError(f"beside: there is a study called '{one.name}' already", file=study.path)
        found.append(one)
    return tuple(found)


def input_files(study: Study) -> set[Path]:
    """Return every file that a study's result depends on."""
    data, models = asset_dir("data"), asset_dir("models")
    own: set[Path] = set()
    for one in together(study):
        own.add(one.path.parent.resolve() / one.path.name)
        if one.published is not None:
            tables = data / "published" / one.published.tables
            own |= {*tables.glob("*"), data / (load_paper(tables).facts.scheme or "")}
            named = (one.published.model, *one.published.sensitivity)
            own |= {models / f"{name.removesuffix('.toml')}.toml" for name in named}
        if one.panel is not None:
            own |= {models / f"{name}.toml" for name in STUDY_MODELS}
            own |= {data / (one.panel.scheme or "")}
            for panel in one.panel.panels.values():
                own |= {data / name for name in panel.files}
                own |= {system_file(how.index) for how in panel.derived_here.values() if how.index is not None}
    for kind in ("regions", "maps"):
        own |= set((data / kind).glob("*.csv"))
    own |= {data / FOLDER / name for name in FILES}
    return {path for path in own if path.is_file()}


def read_by(study: Study) -> list[Path]:
    """Return the files that a study's result depends on, and the folders that are read as a whole."""
    published = asset_dir("data") / "published"
    tables = [published / one.published.tables for one in together(study) if one.published is not None]
    return [*sorted(input_files(study)), *tables]


def input_hashes(study: Study) -> dict[str, str]:
    """Return the SHA-256 of every file that a study's result depends on.

    By its path under the study's folder, or under data/ or models/ where it ships with the package.
    """
    data, models = asset_dir("data"), asset_dir("models")
    own = input_files(study)
    hashes: dict[str, str] = {}
    for kind, root in (("data/", data), ("models/", models), ("", study.path.parent.resolve())):
        there = {path for path in own if path.is_relative_to(root)}
        hashes |= {f"{kind}{name}": digest for name, digest in sha256(there, root).items()}
        own -= there
    return hashes


def manifest(study: Study, seed: int) -> dict[str, Any]:
    """Return what is needed to make the same report again; no time, place or machine, so that it compares equal."""
    return {"study": study.name, "seed": seed, "versions": versions(), "inputs": input_hashes(study)}
