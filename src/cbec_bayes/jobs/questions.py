"""Which panel is asked under which specifications: that of a fit, of a file, or of a study with its alternatives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cbec_bayes.bayes.model.family import PanelModel, load_panel_model
from cbec_bayes.jobs.asked import columns_of
from cbec_bayes.jobs.fit_settings import (
    OPTIONS,
    FitOptions,
    asked_model,
    content,
    data_of,
    model_of,
    options_of,
    read_settings,
    reading_of,
    settings_of,
)
from cbec_bayes.jobs.inputs import input_hashes
from cbec_bayes.panel import load_study_panel, read_panel
from cbec_bayes.panel.design import Design, make_design
from cbec_bayes.panel.study import MAIN, PanelSpec, load_study
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import CI_PROB
from cbec_bayes.specifications.lattice import LEVELS, LOGARITHMS, lattice_base


@dataclass(frozen=True, slots=True)
class OtherPanel:
    """Another panel that the same question is asked of, under the reduced lattice.

    Attributes
    ----------
    name, label
        As tables and as sentences have it.
    design
        Its rows.
    outcome_scale
        Scale of its outcome.
    """

    name: str
    label: str
    design: Design
    outcome_scale: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A panel of which the slopes under all specifications are asked.

    Attributes
    ----------
    design
        Its rows.
    base
        Member whose priors hold throughout; None for those that ship.
    ssc
        Convention of the clustered standard errors of the classical columns.
    seed
        Seed of everything random.
    logarithms
        Whether the logarithm of the outcome is asked about as well.
    outcome_scale
        Scale of the design's outcome.
    alternatives
        Other panels that the same question is asked of.
    reduced
        Whether the lattice is the reduced one, of eight members and the one with every term.
    ci
        Probability of the intervals.
    rope
        Half-width of what is practically zero, of the outcome in levels; None for a tenth of the ratio of spreads.
    content
        What the answer depends on.
    """

    design: Design
    base: PanelModel | None
    ssc: str
    seed: int
    logarithms: bool = False
    outcome_scale: str = LEVELS
    alternatives: tuple[OtherPanel, ...] = ()
    reduced: bool = False
    ci: float = CI_PROB
    rope: float | None = None
    content: Mapping[str, Any]


def question_of_folder(folder: Path, *, seed: int | None = None, reduced: bool = False) -> Question:
    """Return the question about the fit of a folder, with the options of the fit; errors as `read_settings`."""
    settings = read_settings(folder, seed=seed)
    options = options_of(settings)
    return Question(
        design=_design_of(data_of(settings, folder), settings),
        base=options.of(asked_model(model_of(settings, folder))),
        ssc=settings["ssc"],
        seed=settings["seed"],
        reduced=reduced,
        ci=options.ci,
        rope=options.rope,
        content=content_of_question(settings, folder, reduced=reduced),
    )


def content_of_question(settings: Mapping[str, Any], folder: Path | None, *, reduced: bool) -> dict[str, Any]:
    """Return what the answer about a panel depends on: as `cbec_bayes.jobs.fit_settings.content`, and which lattice."""
    return {**content(settings, folder), "reduced": reduced}


def question_of_file(
    file: Path,
    *,
    ssc: str,
    seed: int,
    model: str,
    folder: Path | None = None,
    options: FitOptions = OPTIONS,
    reduced: bool = False,
    **asked: Any,
) -> Question:
    """Return the question about a file's panel.

    Parameters
    ----------
    file
        The panel.
    ssc, seed
        As in `Question`.
    model
        Name or file of the member whose priors hold throughout.
    folder
        That the results are for.
    options
        Options, of which the width of the priors, the probability of the intervals and what is practically zero count.
    reduced
        As in `Question`.
    **asked
        Names of columns, and how the file is to be read, as for `cbec_bayes.jobs.fit.fit_file`.
    """
    settings = settings_of(
        file, model=model, ssc=ssc, seed=seed, engine="auto", folder=folder, options=options, **asked
    )
    return Question(
        design=_design_of(file, settings),
        base=options.of(load_panel_model(model)),
        ssc=ssc,
        seed=seed,
        reduced=reduced,
        ci=options.ci,
        rope=options.rope,
        content=content_of_question(settings, folder, reduced=reduced),
    )


def question_of_study(
    study: str | Path, *, seed: int, options: FitOptions = OPTIONS, reduced: bool = False
) -> Question:
    """Return the question about a study's panel; a study of printed tables alone raises `InputError`."""
    options.require()
    found = load_study(study)
    if found.panel is None:
        raise InputError("the study has only printed tables and no panel", file=found.path)
    return Question(
        design=make_design(load_study_panel(found)),
        outcome_scale=scale_of(found.panel),
        alternatives=other_panels(found.panel),
        base=None if options.prior_scale == 1 else options.widened(lattice_base()),
        ssc=found.panel.convention,
        seed=seed,
        logarithms=found.panel.logarithm,
        reduced=reduced,
        ci=options.ci,
        rope=options.rope,
        content={"inputs": input_hashes(found), "seed": seed, "reduced": reduced}
        | {"ci": options.ci, "prior_scale": options.prior_scale, "rope": options.rope},
    )


def other_panels(spec: PanelSpec) -> tuple[OtherPanel, ...]:
    """Return the alternatives of a study's panel."""
    labels = spec.labels_of_panels
    return tuple(
        OtherPanel(name, labels[name], make_design(load_study_panel(one)), scale_of(one))
        for name, one in spec.panels.items()
        if name != MAIN
    )


def scale_of(spec: PanelSpec) -> str:
    """Return the scale of the outcome of a study's panel."""
    return LOGARITHMS if spec.is_logarithm else LEVELS


def _design_of(file: Path, settings: Mapping[str, Any]) -> Design:
    return make_design(read_panel(file, columns_of(settings), reading=reading_of(settings)))
