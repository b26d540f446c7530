"""What a fit was asked for, as fit.json of its folder holds it, and what it depends on."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from cbec_bayes.bayes.model.family import PanelModel, load_panel_model, panel_model_names
from cbec_bayes.bayes.model.headline import HEADLINE, HEADLINE_OF_MOMENTS
from cbec_bayes.jobs.asked import COLUMNS
from cbec_bayes.panel.reading import READING, Reading
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.files import asset_dir
from cbec_bayes.runtime.labels import CI_PROB, LARGEST_SEED
from cbec_bayes.runtime.opening import file_digest, read_json

SETTINGS = "fit.json"
"""File of a fit's folder that says what was fitted."""

POSTERIOR, DIAGNOSTICS = "posterior.nc", "diagnostics.json"
"""Files of a fit's folder from which the fit itself can be read again."""

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
_FURTHER = ("formula", "lags", "leads", "slope_on", "further", "weights", "weights_kind", "clusters")
"""What says which columns are meant that a fit.json of an earlier version does not have."""


@dataclass(frozen=True, slots=True)
class FitOptions:
    """What a fit may be asked for beside its panel and its model.

    Attributes
    ----------
    rope
        Half-width of "practically zero", in the outcome's unit per unit of the exposure; None for a
        tenth of the ratio of their standard deviations within units.
    prior_scale
        Factor of the priors of what sets groups and units apart; see `PanelModel.widened`.
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
            raise InputError("--unit-slopes: moments hold no single unit; fit the model to the rows")
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
    controls: Sequence[str] = (),
    reading: Reading = READING,
    options: FitOptions = OPTIONS,
    folder: Path | None = None,
    **asked: Any,
) -> dict[str, Any]:
    """Return what fit.json holds: the arguments of `fit_file`, with files by where they are and what is in them.

    Parameters
    ----------
    file, model, controls, options, **asked
        As in `cbec_bayes.jobs.fit.fit_file`.
    folder
        From which files are named, so that it can be passed on together with them; default the current one.

    Raises
    ------
    InputError
        The file or the model cannot be read; an option makes no sense.
    """
    options.of(asked_model(model))
    own = None if model is None or model in panel_model_names() else Path(model)
    held = {
        "data": seen_from(folder, file),
        "sha256": file_digest(file),
        **COLUMNS,
        **asked,
        "controls": list(controls),
        "slope_on": list(asked.get("slope_on", ())),
        "further": list(asked.get("further", ())),
    }
    held["clusters"] = list(held["clusters"])
    held["model"] = model if own is None else seen_from(folder, own)
    of_model = {"model_sha256": None if own is None else file_digest(own)}
    return (
        {name: held[name] for name in (*_ASKED, *_FURTHER)}
        | of_model
        | {"reading": reading.as_dict()}
        | asdict(options)
    )


def seen_from(folder: Path | None, file: Path) -> str:
    """Return the path of a file from a folder, or from the current one; the whole path from another drive."""
    at = file.parent.resolve() / file.name
    try:
        return Path(os.path.relpath(at, (folder or Path()).resolve())).as_posix()
    except ValueError:
        return at.as_posix()


def reading_of(settings: Mapping[str, Any]) -> Reading:
    """Return how the fit's file is read, as fit.json holds it."""
    return Reading.from_dict(settings.get("reading", {}))


def content(settings: Mapping[str, Any], folder: Path | None = None) -> dict[str, Any]:
    """Return what a fit depends on, as content: settings as fit.json holds them, and what is in the model's file.

    Parameters
    ----------
    settings
        From `settings_of` or `read_settings`.
    folder
        From which they name files.

    Raises
    ------
    InputError
        The model cannot be read.
    """
    model = model_of(settings, folder)
    every = [HEADLINE, HEADLINE_OF_MOMENTS] if model is None else [model]  # which of them follows from the panel
    return {**settings, "model": " or ".join(repr(load_panel_model(name)) for name in every)}


def data_of(settings: Mapping[str, Any], folder: Path | None = None) -> Path:
    """Return where a fit's data is: where its folder says, or in the folder, under the same name.

    Raises
    ------
    InputError
        It is no longer there, or has changed.
    """
    return found_again(settings["data"], settings["sha256"], folder, "data")


def model_of(settings: Mapping[str, Any], folder: Path | None = None) -> str | None:
    """Return the name of a fit's model, or its file, found as `data_of` finds the data, whose errors are these."""
    name = settings["model"]
    if name is None or Path(name).suffix != ".toml":
        return None if name is None else str(name)
    digest = settings.get("model_sha256")
    return str(found_again(name, digest, folder, "model") if digest else _from(folder, name))


def found_again(name: str, digest: str, folder: Path | None, what: str, made: str = "fit") -> Path:
    """Return the file that is named from a folder, or lies in it under the same name, with the content it had.

    Parameters
    ----------
    name, digest
        As `seen_from` and `file_digest` gave them.
    folder
        From which the file is named.
    what, made
        What the file is, and what was made of it, for messages.

    Raises
    ------
    InputError
        It is no longer there, or has changed.
    """
    places = [path for path in (_from(folder, name), _from(folder, Path(name).name)) if os.path.isfile(path)]
    for path in places:
        if file_digest(path) == digest:
            return path
    if places:
        again = "fit it again" if made == "fit" else f"make the {made} again"
        raise InputError(f"the {what} has changed since the {made}; {again}", file=places[0])
    raise InputError(
        f"the {made}'s {what} is no longer there; put it back, or into the {made}'s folder", file=_from(folder, name)
    )


def _from(folder: Path | None, name: str) -> Path:
    """Return what `seen_from` names, whether the folder is there yet or not."""
    return Path(os.path.normpath((folder or Path()).resolve() / name))


def files_of(settings: Mapping[str, Any], folder: Path | None = None) -> list[Path]:
    """Return the files that a fit and whatever is made of it are read from."""
    model = model_of(settings, folder)
    own = [] if folder is None else [folder / name for name in (SETTINGS, POSTERIOR, DIAGNOSTICS)]
    return [data_of(settings, folder), *model_files(model), *own]


def model_files(model: str | None) -> list[Path]:
    """Return what a model is read from: the folder of those that ship with the package, and a file of one's own."""
    return [asset_dir("models"), *([Path(model)] if model is not None and Path(model).suffix == ".toml" else [])]


def content_of_moments(file: Path, *, model: str | None, seed: int, options: FitOptions = OPTIONS) -> dict[str, Any]:
    """Return what a fit of a file of moments depends on; a file that is not there has no content.

    Raises
    ------
    InputError
        The model cannot be read; an option makes no sense.
    """
    spec = asked_model(model, rows=False)
    options.of(spec, rows=False)
    held = file_digest(file) if os.path.isfile(file) else ""
    return {"moments": held, "model": repr(spec), "named": model is not None, "seed": seed} | asdict(options)


def read_settings(folder: Path, *, seed: int | None = None) -> dict[str, Any]:
    """Return what fit.json of a folder says, and see that the data is what it was.

    Parameters
    ----------
    folder
        Folder of a fit.
    seed
        In the place of the fit's own, if given.

    Raises
    ------
    InputError
        The folder is not of a fit; the data is no longer there, or has changed.
    """
    path = folder / SETTINGS
    try:
        held = read_json(path)
    except (InputError, ValueError):
        held = None
    if isinstance(held, dict) and "moments" in held:
        raise InputError(
            "check, compare and report need rows, and this fit was made of moments; fit the panel itself", file=path
        )
    settings = {}
    if isinstance(held, dict) and held.keys() >= set(_ASKED):
        more = {"model_sha256": None, "reading": {}, **{name: COLUMNS[name] for name in _FURTHER}, **_OPTIONS}
        more |= {"slope_on": [], "further": []}
        settings = {name: held[name] for name in _ASKED} | {name: held.get(name, one) for name, one in more.items()}
    if not _is_settings(settings):
        raise InputError(f"this is not the folder of a fit; `cbec-bayes fit ... --out {folder}` makes one", file=path)
    data_of(settings, folder)
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
    seed, listed = held["seed"], [held["controls"], held["slope_on"], held["further"], held["clusters"]]
    words = [held[name] for name in ("data", "sha256", "engine", "ssc", "weights_kind")]
    maybe = ("outcome", "exposure", "unit", "time", "group", "formula", "weights", "model", "model_sha256")
    columns = [held[name] for name in ("outcome", "exposure", "unit", "time")]
    counts = (seed, held["lags"], held["leads"])
    numbers = [held["prior_scale"], held["ci"], *([] if held["rope"] is None else [held["rope"]])]
    return (
        all(type(value) in (int, float) for value in numbers)
        and type(held["unit_slopes"]) is bool
        and type(held["neighbours"]) is bool
        and all(type(value) is int for value in counts)
        and 0 <= seed <= LARGEST_SEED
        and all(isinstance(own, list | tuple) for own in listed)
        and all(isinstance(value, str) for value in (*words, *(name for own in listed for name in own)))
        and all(held[name] is None or isinstance(held[name], str) for name in maybe)
        and (held["formula"] is not None or None not in columns)
    )
