"""How estimates were pooled, in sentences that follow from the estimates and the model, and from nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cbec_bayes.jobs.classical_pooling import told
from cbec_bayes.published.between_shape import NORMAL, BetweenShape
from cbec_bayes.published.estimates import Estimates, ImpliedError, KnownError
from cbec_bayes.published.summary_model import SummaryModel, between_shape


def methods_sentences(estimates: Estimates, model: SummaryModel, asked: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the sentences: likelihood, distribution of slopes, priors, how it was computed, classical answers.

    Parameters
    ----------
    estimates
        Under one reading, with moderators and covariance where there are.
    model
        With priors in plain numbers.
    asked
        Options of the pooling by name, of which the engine and the cluster column count.
    """
    shape = between_shape(model)
    return (
        *_likelihood(estimates, asked),
        slopes_sentence(estimates, model, shape),
        f"Priors: {_of_tau(model)}, β ~ {model.slope}{_of_moderators(estimates)}.",
        _computed(model, str(asked["engine"])),
        *_classical(estimates, shape),
    )


def name_of_tau(shape: BetweenShape) -> str:
    """Return what τ is called: a standard deviation only where slopes are normal between groups."""
    return "standard deviation" if shape == NORMAL else "scale"


def has_t_likelihood(estimates: Estimates) -> bool:
    """Return whether an estimate has a t likelihood; with moderators or a covariance all have normal ones."""
    return any(error is not None and math.isfinite(error.likelihood_df) for error in estimates.errors)


def _likelihood(estimates: Estimates, asked: Mapping[str, Any]) -> tuple[str, ...]:
    errors = [error for error in estimates.errors if error is not None]
    covariance = None if estimates.terms is None else estimates.terms.covariance
    heavy = [math.isfinite(error.likelihood_df) for error in errors]
    own = "about the slope of its group"
    if covariance is not None:
        if asked["cluster"] is not None:
            said = f"their errors have the correlation {told(float(asked['correlation'] or 0.0))} within a cluster"
        else:
            said = "their errors have the covariance that is stated"
        first = f"Estimates are jointly normal about the slopes of their groups; {said}."
    elif all(heavy):
        first = f"Each estimate follows Student's t {own}, with its degrees of freedom and its standard error as scale."
    elif any(heavy):
        first = (
            f"An estimate with degrees of freedom follows Student's t {own}, with its standard error as scale; one "
            f"without them is normal {own} with its standard error."
        )
    else:
        first = f"Each estimate is normal {own} with its standard error."
    if not any(isinstance(error, ImpliedError) for error in errors):
        return (first,)
    some = "A standard error" if any(isinstance(error, KnownError) for error in errors) else "Each standard error"
    return (first, f"{some} that is known by its stars alone is integrated over the values that these allow.")


def slopes_sentence(estimates: Estimates, model: SummaryModel, shape: BetweenShape) -> str:
    """Return the sentence on how slopes of groups are distributed.

    Parameters
    ----------
    estimates, model, shape
        The estimates with what their slopes are regressed on, the model, and its shape between groups.
    """
    names = () if estimates.terms is None else estimates.terms.names
    middle = f"what {' and '.join(names)} predict{'s' if len(names) == 1 else ''}" if names else "a common one, β,"
    if model.between.dist == "fixed" and model.between.params["value"] == 0:
        return (
            f"Slopes of groups are {middle.rstrip(',')}: they do not differ otherwise."
            if names
            else ("All groups have the same slope β.")
        )
    match shape.dist:
        case "student_t":
            return (
                f"Slopes of groups follow Student's t about {middle} with ν = {told(shape.params['df'])} and scale τ."
            )
        case "two_normals":
            share, ratio = shape.params["share"], shape.params["ratio"]
            return (
                f"Slopes of groups are normal about {middle} with standard deviation τ, or with probability "
                f"{told(share)} with standard deviation {told(ratio)} τ."
            )
    return f"Slopes of groups are normal about {middle} with standard deviation τ."


def _of_tau(model: SummaryModel) -> str:
    fixed = model.between.dist == "fixed"
    return f"τ = {told(model.between.params['value'])}, which is held" if fixed else f"τ ~ {model.between}"


def _of_moderators(estimates: Estimates) -> str:
    names = () if estimates.terms is None else estimates.terms.names
    return f", and flat for the change with {' and with '.join(names)}" if names else ""


def _computed(model: SummaryModel, engine: str) -> str:
    of_tau = "" if model.between.dist == "fixed" else ", so that intervals are as wide as τ is uncertain"
    if engine == "pymc":
        return f"The posterior was sampled with PyMC and nutpie{of_tau}."
    return f"Everything is integrated over by deterministic quadrature{of_tau}."


def _classical(estimates: Estimates, shape: BetweenShape) -> tuple[str, ...]:
    n = int(estimates.printed.sum())
    if n < 2:
        return ()
    names = () if estimates.terms is None else estimates.terms.names
    said = [
        "The classical answers take one value of τ each.",
        f"Knapp and Hartung's standard errors follow t with {n - 1} degrees of freedom, one fewer than there are "
        "estimates, and so does their interval of a new group.",
    ]
    if names:
        said.append(
            "The first of their tables leaves out what slopes are regressed on; in the second, the regression, the "
            f"degrees of freedom are the {n} estimates less the coefficients, {n - 1 - len(names)}."
        )
    if has_t_likelihood(estimates) or shape != NORMAL:
        said.append("They take every estimate, and slopes between groups, for normal.")
    return tuple(said)
