"""What estimates were pooled with, as pooled.json of their folder holds it, and what the pooling depends on."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from cbec_bayes.jobs.fit_settings import found_again, seen_from
from cbec_bayes.jobs.pooled_terms import AskedTerms
from cbec_bayes.published.summary_model import load_summary_model, model_names
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.files import asset_dir
from cbec_bayes.runtime.labels import LARGEST_SEED
from cbec_bayes.runtime.opening import file_digest, read_json

SETTINGS = "pooled.json"
"""File of a folder of pooled estimates that says what was pooled, and how."""

MOST_FILES = 200
"""Files of a folder of printed tables."""

OPTIONS: Mapping[str, tuple[type, ...]] = {
    "model": (str,),
    "term": (str, type(None)),
    "reading": (str,),
    "unit": (float, int, type(None)),
    "ci_prob": (float,),
    "engine": (str,),
    "seed": (int,),
    "slope_on": (list,),
    "covariance": (str, type(None)),
    "cluster": (str, type(None)),
    "correlation": (float, int, type(None)),
    "leave_one_out": (bool,),
}
"""Options of `published` that are kept, with their types."""

TERMS = tuple(field.name for field in fields(AskedTerms))
"""Those that say which further terms the model has."""

FILES_OF_OPTIONS = ("model", "covariance")
"""Options that may name a file, which is then named from the folder, with its digest."""


def is_pooled(folder: Path) -> bool:
    """Return whether a folder is one that `published` wrote to."""
    return os.path.isfile(folder / SETTINGS)


def settings_of(
    file: Path, asked: Mapping[str, Any], folder: Path | None = None, *, copied: bool = False
) -> dict[str, Any]:
    """Return what pooled.json holds.

    Parameters
    ----------
    file
        The estimates.
    asked
        Options by name, all of `OPTIONS`.
    folder
        From which files are named, so that it can be passed on together with them.
    copied
        Whether the folder gets a copy of the file, as it does of the standard input, which cannot be read again.

    Raises
    ------
    InputError
        There is no such model, or no such file.
    """
    load_summary_model(str(asked["model"]))  # a name that is none is told before a file of that name is looked for
    options = {name: list(value) if isinstance(value, tuple) else value for name, value in asked.items()}
    digests = {}
    for name in FILES_OF_OPTIONS:
        value = options.get(name)
        if value is None or (name == "model" and value in model_names()):
            continue
        path = Path(str(value))
        options[name], digests[name] = seen_from(folder, path), file_digest(path)
    name = file.name if copied else seen_from(folder, file)
    return {"pooled": name, "sha256": path_digest(file), "options": options, "digests": digests}


def path_digest(path: Path) -> str | dict[str, str]:
    """Return the digest of a file, or of each file of a folder of printed tables by its name."""
    if not os.path.isdir(path):
        return file_digest(path)
    names = sorted(name for name in os.listdir(path) if os.path.isfile(path / name) and not name.startswith("."))
    return {name: file_digest(path / name) for name in names[:MOST_FILES]}


def content(settings: Mapping[str, Any], folder: Path | None = None) -> dict[str, Any]:
    """Return what a pooling depends on, as content; `settings` and `folder` as of `read_pooled`."""
    return {**settings, "priors": repr(load_summary_model(options_of(settings, folder)["model"]))}


def read_pooled(folder: Path) -> dict[str, Any]:
    """Return what pooled.json of a folder says, and see that the estimates are what they were.

    Raises
    ------
    InputError
        The folder is not one that `published` wrote to; the estimates are no longer there, or have changed.
    """
    path = folder / SETTINGS
    try:
        held = read_json(path)
    except ValueError:
        held = None
    if not _is_settings(held):
        raise InputError(
            f"this file is not one that `cbec-bayes published ... --out {folder}` writes; run it again", file=path
        )
    file_of(held, folder)
    return dict(held)


def file_of(settings: Mapping[str, Any], folder: Path | None) -> Path:
    """Return where the estimates are, a file or a folder of printed tables; their errors are those of `read_pooled`."""
    digest = settings["sha256"]
    if isinstance(digest, str):
        return found_again(settings["pooled"], digest, folder, "file of estimates", "pooling")
    path = Path(os.path.normpath((folder or Path()).resolve() / settings["pooled"]))
    if not os.path.isdir(path):
        raise InputError("the pooling's folder of printed tables is no longer there; put it back", file=path)
    if path_digest(path) != digest:
        raise InputError("the printed tables have changed since the pooling; make the pooling again", file=path)
    return path


def options_of(settings: Mapping[str, Any], folder: Path | None) -> dict[str, Any]:
    """Return the options, with files where they are."""
    options = dict(settings["options"])
    for name, digest in settings["digests"].items():
        options[name] = str(found_again(options[name], digest, folder, name, "pooling"))
    return options


def arguments(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as `cbec_bayes.jobs.published.pool_file` takes them: those on terms together."""
    named = {name: options[name] for name in TERMS}
    covariance = named["covariance"]
    named |= {"slope_on": tuple(named["slope_on"]), "covariance": None if covariance is None else Path(covariance)}
    return {**{name: value for name, value in options.items() if name not in TERMS}, "terms": AskedTerms(**named)}


def files_of(settings: Mapping[str, Any], folder: Path) -> list[Path]:
    """Return the files and folders that a pooling and whatever is made of it are read from."""
    named = [Path(options_of(settings, folder)[name]) for name in settings["digests"]]
    return [file_of(settings, folder), asset_dir("models"), folder / SETTINGS, *named]


def text_of(settings: Mapping[str, Any]) -> str:
    """Return the content of pooled.json."""
    return json.dumps(settings, indent=1) + "\n"


def _is_settings(held: Any) -> bool:
    """Return whether each of the settings has its type: the file may have been written, or edited, by anyone."""
    if not isinstance(held, Mapping) or set(held) != {"pooled", "sha256", "options", "digests"}:
        return False
    options, digests, digest = held["options"], held["digests"], held["sha256"]
    if (
        not isinstance(options, Mapping)
        or not isinstance(digests, Mapping)
        or not set(digests) <= set(FILES_OF_OPTIONS)
    ):
        return False
    whole = isinstance(digest, str) or (
        isinstance(digest, Mapping) and all(isinstance(d, str) for d in digest.values())
    )
    texts = [held["pooled"], *digests.values(), *(options.get(name) for name in digests)]
    texts += listed if isinstance(listed := options.get("slope_on"), list) else []
    typed = set(options) == set(OPTIONS) and all(type(options[name]) in kinds for name, kinds in OPTIONS.items())
    numbers = [value for value in options.values() if isinstance(value, float | int)]
    return (
        whole
        and typed
        and all(isinstance(text, str) for text in texts)
        and all(math.isfinite(value) for value in numbers)
        and 0 <= options["seed"] <= LARGEST_SEED
    )
