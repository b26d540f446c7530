"""What a fit was asked for, as fit.json of its folder holds it, and what it depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cbec_bayes.bayes.model.family import load_panel_model, panel_model_names
from cbec_bayes.runtime.errors import InputError

SETTINGS = "fit.json"
"""File of a fit's folder that says what was fitted."""

_ASKED = (
    "data",
    "sha256",
    "outcome",
    "exposure",
    "controls",
    "unit",
    "time",
    "group",
    "model",
    "engine",
    "ssc",
    "seed",
)


def settings_of(file: Path, *, model: str, controls: Sequence[str], **asked: Any) -> dict[str, Any]:
    """Return what fit.json holds: the arguments of `fit_file`, with files by where they are and what is in them.

    Raises
    ------
    InputError
        The file or the model cannot be read.
    """
    load_panel_model(model)
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
    except FileNotFoundError:
        raise InputError("no such file", file=file) from None
    except IsADirectoryError:
        raise InputError("this is a folder, a file was expected", file=file) from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=file) from None
    named = model if model in panel_model_names() else Path(model).resolve().as_posix()
    held = {"data": file.resolve().as_posix(), "sha256": digest, **asked, "controls": list(controls), "model": named}
    return {name: held[name] for name in _ASKED}


def content(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a fit depends on, as content: settings as fit.json holds them, and what is in the model's file.

    Raises
    ------
    InputError
        The model cannot be read.
    """
    return {**settings, "model": repr(load_panel_model(str(settings["model"])))}


def content_of_moments(file: Path, *, model: str, seed: int) -> dict[str, Any]:
    """Return what a fit of a file of moments depends on; a file that is not there has no content.

    Raises
    ------
    InputError
        The model cannot be read.
    """
    held = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
    return {"moments": held, "model": repr(load_panel_model(model)), "seed": seed}


def read_settings(folder: Path, *, seed: int | None = None) -> dict[str, Any]:
    """Return what fit.json of a folder says, and see that the data is what it was.

    Parameters
    ----------
    folder
        Of a fit.
    seed
        In the place of the fit's own, if given.

    Raises
    ------
    InputError
        The folder is not of a fit; the data is no longer there, or has changed.
    """
    path = folder / SETTINGS
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        if "moments" in held:
            raise InputError("a fit of moments has no rows to be checked, compared or reported by", file=path)
        settings = {name: held[name] for name in _ASKED}
    except (OSError, ValueError, KeyError, TypeError):
        settings = {}
    if not _is_settings(settings):
        raise InputError(f"no folder of a fit: `cbec-bayes fit ... --out {folder}` writes one", file=path)
    data = Path(settings["data"])
    if not data.is_file():
        raise InputError("the fit's data is no longer there", file=data)
    if hashlib.sha256(data.read_bytes()).hexdigest() != settings["sha256"]:
        raise InputError("the data has changed since the fit; fit it again", file=data)
    return settings if seed is None else {**settings, "seed": seed}


def _is_settings(held: Mapping[str, Any]) -> bool:
    """Return whether each of the settings has its type: the file may have been written, or edited, by anyone."""
    if not held:
        return False
    seed, controls = held["seed"], held["controls"]
    words = [value for name, value in held.items() if name not in ("seed", "controls", "group")]
    return (
        type(seed) is int
        and seed >= 0
        and isinstance(controls, list)
        and all(isinstance(value, str) for value in (*words, *controls, held["group"] or ""))
    )
