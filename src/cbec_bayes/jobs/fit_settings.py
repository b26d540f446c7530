"""What a fit was asked for, as fit.json of its folder holds it, and what it depends on."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from cbec_bayes.bayes.model.family import PanelModel, load_panel_model, panel_model_names
from cbec_bayes.bayes.model.headline import HEADLINE, HEADLINE_OF_MOMENTS
from cbec_bayes.panel.reading import READING, Reading
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import CI_PROB

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


@dataclass(frozen=True, slots=True)
class FitOptions:
    """What a fit may be asked for beside its panel and its model.

    Attributes
    ----------
    rope
        Half-width of "practically zero", in the outcome's unit per unit of the exposure; None for `ROPE`.
    prior_scale
        Factor of the priors of the scales between groups and between units; see `PanelModel.widened`.
    ci
        Probability of the intervals of the fit's own tables.
    unit_slopes
        Whether the slope of every unit is written, too.
    neighbours
        Whether it is said what the members that lack one term would say.
    """

    rope: float | None = None
    prior_scale: float = 1.0
    ci: float = CI_PROB
    unit_slopes: bool = False
    neighbours: bool = True

    def require(self) -> None:
        """Raise `InputError` where one of them makes no sense."""
        if self.rope is not None and not 0 < self.rope < math.inf:
            raise InputError(f"--rope is a half-width and must be a positive number, not {self.rope:g}")
        if not 0 < self.prior_scale < math.inf:
            raise InputError(f"--prior-scale is a factor and must be a positive number, not {self.prior_scale:g}")
        if not 0 < self.ci < 1:
            raise InputError(f"--ci is a probability and must lie between 0 and 1, as 0.95 does, not {self.ci:g}")

    def of(self, model: PanelModel, *, rows: bool = True) -> PanelModel:
        """Return the member that is fitted in the place of a model.

        Parameters
        ----------
        model
            What was named.
        rows
            Whether there are rows, without which no slope of a unit can be told.

        Raises
        ------
        InputError
            An option makes no sense, or not for this model.
        """
        self.require()
        if self.unit_slopes and model.choice("unit_slope") == "off":
            raise InputError(f"--unit-slopes: the model '{model.name}' has no slopes of units; 'nested' has")
        if self.unit_slopes and not rows:
            raise InputError("--unit-slopes: moments have none of units by themselves; fit the model to the rows")
        return self.widened(model)

    def widened(self, model: PanelModel) -> PanelModel:
        """Return a member with the priors that are asked for."""
        return model if self.prior_scale == 1 else model.widened(self.prior_scale)


OPTIONS = FitOptions()
"""Those of a fit of which nothing else was asked."""

_OPTIONS = {field.name: getattr(OPTIONS, field.name) for field in fields(FitOptions)}


def asked_model(model: str | None, *, rows: bool = True) -> PanelModel:
    """Return the model of a name or a file, or where none is named the one that would be fitted if all were carried.

    Raises
    ------
    InputError
        The model cannot be read.
    """
    return load_panel_model(model or (HEADLINE if rows else HEADLINE_OF_MOMENTS))


def settings_of(
    file: Path,
    *,
    model: str | None,
    controls: Sequence[str],
    reading: Reading = READING,
    options: FitOptions = OPTIONS,
    **asked: Any,
) -> dict[str, Any]:
    """Return what fit.json holds: the arguments of `fit_file`, with files by where they are and what is in them.

    Raises
    ------
    InputError
        The file or the model cannot be read; an option makes no sense.
    """
    options.of(asked_model(model))
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
    except FileNotFoundError:
        raise InputError("no such file", file=file) from None
    except IsADirectoryError:
        raise InputError("this is a folder, a file was expected", file=file) from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=file) from None
    named = model if model is None or model in panel_model_names() else Path(model).resolve().as_posix()
    held = {"data": file.resolve().as_posix(), "sha256": digest, **asked, "controls": list(controls), "model": named}
    return {name: held[name] for name in _ASKED} | {"reading": reading.as_dict()} | asdict(options)


def reading_of(settings: Mapping[str, Any]) -> Reading:
    """Return how the fit's file is read, as fit.json holds it."""
    return Reading.from_dict(settings.get("reading", {}))


def content(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a fit depends on, as content: settings as fit.json holds them, and what is in the model's file.

    Raises
    ------
    InputError
        The model cannot be read.
    """
    model = settings["model"]
    every = [HEADLINE, HEADLINE_OF_MOMENTS] if model is None else [model]  # which of them follows from the panel
    return {**settings, "model": " or ".join(repr(load_panel_model(name)) for name in every)}


def content_of_moments(file: Path, *, model: str | None, seed: int, options: FitOptions = OPTIONS) -> dict[str, Any]:
    """Return what a fit of a file of moments depends on; a file that is not there has no content.

    Raises
    ------
    InputError
        The model cannot be read; an option makes no sense.
    """
    spec = asked_model(model, rows=False)
    options.of(spec, rows=False)
    held = hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""
    return {"moments": held, "model": repr(spec), "named": model is not None, "seed": seed} | asdict(options)


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
        settings = {name: held[name] for name in _ASKED} | {name: held.get(name, one) for name, one in _OPTIONS.items()}
        settings["reading"] = held.get("reading", {})
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


def options_of(settings: Mapping[str, Any]) -> FitOptions:
    """Return the options that fit.json holds."""
    return FitOptions(**{name: settings[name] for name in _OPTIONS})


def _is_settings(held: Mapping[str, Any]) -> bool:
    """Return whether each of the settings has its type: the file may have been written, or edited, by anyone."""
    if not held:
        return False
    try:
        reading_of(held)
    except (InputError, TypeError, AttributeError):
        return False
    seed, controls = held["seed"], held["controls"]
    words = [held[name] for name in _ASKED if name not in ("seed", "controls", "group", "model")]
    numbers = [held["prior_scale"], held["ci"], *([] if held["rope"] is None else [held["rope"]])]
    return (
        all(type(value) in (int, float) for value in numbers)
        and type(held["unit_slopes"]) is bool
        and type(held["neighbours"]) is bool
        and type(seed) is int
        and seed >= 0
        and isinstance(controls, list)
        and all(isinstance(value, str) for value in (*words, *controls, held["group"] or "", held["model"] or ""))
    )
