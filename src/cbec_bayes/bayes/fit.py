"""Fit a model to a design: the collapsed engine where it can, PyMC's twin where it cannot, and the gates of both."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from html import escape
from typing import Any, Literal

import numpy as np

from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.bayes.likelihood.elimination import with_unit_terms
from cbec_bayes.bayes.many_units import collapsed_of
from cbec_bayes.bayes.model.blocks import Blocks, blocks_for, blocks_of_moments
from cbec_bayes.bayes.model.densities import cumulative, resolve
from cbec_bayes.bayes.model.family import PanelModel
from cbec_bayes.bayes.model.headline import headline
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.model.terms import is_scale
from cbec_bayes.bayes.moments.panel_moments import PanelMoments
from cbec_bayes.bayes.of_controls import unstacked
from cbec_bayes.bayes.posterior import store
from cbec_bayes.bayes.sampling.convergence import convergence, worst
from cbec_bayes.bayes.sampling.evidence import NO_EVIDENCE, Evidence
from cbec_bayes.bayes.sampling.gates import SamplingDiagnostics
from cbec_bayes.bayes.sampling.importance import PILOT, Draws, sample_density
from cbec_bayes.bayes.shown import MOST, slopes_and_scales
from cbec_bayes.panel.design import Design, exact_groups
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import CI_PROB, level
from cbec_bayes.runtime.progress import OnProgress, ignore_progress

Engine = Literal["auto", "collapsed", "pymc"]
SAME = 0.05
"""Greatest distance of distribution functions at which a posterior counts as its prior."""
MOST_SPREADS = 40
"""Controls with a spread over groups of their own, beyond which a member that is named is refused."""
ENGINES: tuple[str, ...] = ("auto", "collapsed", "pymc")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False, weakref_slot=True)
class PanelFit:
    """A fitted model.

    Attributes
    ----------
    blocks
        Model, design, and the columns of every coefficient.
    priors
        Resolved, by parameter.
    tree
        The posterior, an ArviZ DataTree.
    diagnostics
        How well it was sampled.
    khat
        Pareto shape of the importance ratios; NaN where NUTS was used.
    collapsed
        The collapsed density; None where PyMC fitted the model.
    evidence
        The integral of that density.
    left_out
        Sentences about what the model that was asked for, or would be if none was, has and this one lacks; see
        `cbec_bayes.bayes.model.carried`.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> fit = cb.fit("sales ~ price + wage | firm + year", "partial_pooling", data=frame, group="sector")
    >>> fit.model.name, fit.design.n_obs, sorted(fit.posterior.data_vars)[:3]
    ('partial_pooling', 96, ['control_slope', 'group_slope', 'group_total_slope'])
    """

    blocks: Blocks
    priors: dict[str, Prior]
    tree: Any
    diagnostics: SamplingDiagnostics
    khat: float
    collapsed: Collapsed | None
    evidence: Evidence = NO_EVIDENCE
    left_out: tuple[str, ...] = ()

    @property
    def log_evidence(self) -> float | None:
        """Logarithm of p(y | member), comparable between members with the same flat coefficients only.

        See `cbec_bayes.bayes.sampling.evidence.Evidence`; None where it is not known, and `evidence` says why.
        """
        return self.evidence.value

    @property
    def log_evidence_mcse(self) -> float | None:
        """Monte Carlo standard error of `log_evidence`."""
        return self.evidence.mcse

    @property
    def model(self) -> PanelModel:
        """The model that was fitted."""
        return self.blocks.model

    @property
    def design(self) -> Design:
        """The design that it was fitted to."""
        return self.blocks.design

    @property
    def posterior(self) -> Any:
        """The draws as a dataset with a variable for each block and scale: those of every control by themselves."""
        return unstacked(self.tree["posterior"].to_dataset())

    def __str__(self) -> str:
        table = slopes_and_scales(self.tree, MOST)
        lines = table.to_string(index=False, float_format="{:.4g}".format, na_rep="", justify="right")
        return "\n".join([f"{self.model.name}: {self.model.question}", str(self.design), lines, self._trusted()])

    __repr__ = __str__

    def _trusted(self) -> str:
        """Return whether the draws can be used, and what the intervals are."""
        failed = "; ".join(self.diagnostics.failures)
        gates = f"Not to be used: {failed}." if failed else "All gates passed."
        return f"Intervals are {level(CI_PROB)}, equal-tailed. {gates}"

    def _repr_html_(self) -> str:
        """Return slopes and scales as a table: posterior mean, sd and 95 % equal-tailed interval."""
        table = slopes_and_scales(self.tree)
        assumed = f" Assumed: {self.model.assumes}" if self.model.assumes else ""
        assumed += "".join(f" {sentence}" for sentence in self.left_out)
        said = f"{self.model.name}: {self.model.question}{assumed} Origin: {self.design.origin}."
        trusted = escape(self._trusted())
        return (
            f"<p>{escape(said)} {f'<strong>{trusted}</strong>' if self.diagnostics.failures else trusted}</p>"
            f"{table.to_html(index=False, float_format='{:.4g}'.format)}"
        )

    @property
    def unlearned(self) -> tuple[str, ...]:
        """Scales of which the data say nothing: those whose draws are distributed as the prior is.

        Mundlak terms of more regressors than there are periods, for one, leave nothing to the scale of time effects.
        """
        posterior = self.posterior
        found = []
        for name, prior in self.priors.items():
            if not is_scale(name) or name not in posterior or prior.dist == "fixed":
                continue
            drawn = posterior[name].to_numpy()
            if drawn.ndim == 2 and _distance(cumulative(prior, np.sort(drawn.ravel()))) < SAME:
                found.append(name)
        return tuple(found)


def _distance(levels: Array) -> float:
    """Return the greatest distance of draws from a distribution (Kolmogorov's) from its function at them, in order."""
    n = len(levels)
    return float(max((np.arange(1, n + 1) / n - levels).max(), (levels - np.arange(n) / n).max()))


def _require_errors(blocks: Blocks) -> None:
    """Raise `InputError` where the scale of errors would be zero: what samples it would go on without an end."""
    model, design = blocks.model, blocks.design
    slopes = model.choice("group_slope") != "off"
    if not (slopes or model.residuals.by_group):
        return
    exact = exact_groups(design)
    named = "group" + (f" '{exact[0]}'" if len(exact) == 1 else f"s {', '.join(exact)}") if exact else ""
    explains = "regressors, unit and period effects explain the outcome without an error"
    if exact and model.residuals.by_group:
        raise InputError(
            f"in {named}, {explains}: no spread of its errors is known, and '{model.name}' has one by group"
        )
    if slopes and len(exact) == len(design.groups) > 0:
        raise InputError(f"in every group ({', '.join(exact)}) {explains}: nothing is left to estimate from")


def _require_few_scales(blocks: Blocks) -> None:
    """Raise `InputError` where so many controls have a spread over groups that no engine samples them in hours."""
    count = sum(block.scale is not None and block.scale.startswith("phi[") for block in blocks.every)
    if count > MOST_SPREADS:
        raise InputError(
            f"'{blocks.model.name}' has a spread over groups for each of {count} controls, and more than "
            f'{MOST_SPREADS} take hours; name fewer controls, or a member with group_control_slope = "off"'
        )


def require_fittable(blocks: Blocks) -> None:
    """Raise `InputError` where sampling a member would go on without an end, or take hours."""
    _require_errors(blocks)
    _require_few_scales(blocks)


def fit(
    design: Design | PanelMoments,
    model: str | PanelModel | None = None,
    *,
    engine: Engine = "auto",
    draws: int | None = None,
    chains: int = 4,
    seed: int = 1,
    densities: bool = True,
    on_progress: OnProgress = ignore_progress,
) -> PanelFit:
    """Fit a member of the family.

    Parameters
    ----------
    design
        From `make_design`, or the moments of a panel without its rows, from `gather`. Without groups, or with one, the
        model reduces to its common slope.
    model
        A model or the name of one; see `cbec_bayes.bayes.model.family`. Default `robust` as far as the panel carries
        it, and `partial_pooling` of moments; see `cbec_bayes.bayes.model.headline`.
    engine
        ``auto`` collapses what can be collapsed; ``pymc`` samples the twin.
    draws, chains
        Draws per chain, and chains. Default 1,000 independent ones, or 2,000 of a Markov chain.
    seed
        Seed of everything random.
    densities
        Whether the collapsed engine stores the log density of every row given all others, which ArviZ's leave-one-out
        and model comparison read. `cbec_bayes.bayes.predictions.with_densities` adds them later.
    on_progress
        Called with how many draws a Markov chain has made, where one is needed, as "draws 1200 of 12000".

    Returns
    -------
    PanelFit
        Columns are named as they were given, but for a slash, and for the name of a dimension, which get another sign.
        Its gates are not yet enforced: call ``fit.diagnostics.require()``.

    Raises
    ------
    InputError
        A slope is not identified; the engine cannot carry the model; it needs rows, and there are moments alone.
    GateError
        The posterior of the scales has no mode.
    """
    if engine not in ENGINES:
        raise InputError(f"unknown engine '{engine}'; there are {', '.join(ENGINES)}")
    if model is None:
        told = headline(design)
        given: dict[str, Any] = {"draws": draws, "chains": chains, "seed": seed, "densities": densities}
        found = fit(design, told.model, engine=engine, **given, on_progress=on_progress)
        return replace(found, left_out=told.left_out)
    begun = time.perf_counter()
    moments = isinstance(design, PanelMoments)
    blocks = blocks_of_moments(design, model) if isinstance(design, PanelMoments) else blocks_for(design, model)
    chosen = blocks.model
    require_fittable(blocks)
    priors = resolve(chosen, blocks.design)
    attrs = {"model": chosen.name, "question": chosen.question}
    if moments and engine == "pymc":
        raise InputError("the PyMC engine needs rows; moments are for the collapsed one")
    if engine == "pymc" or (engine == "auto" and not chosen.is_gaussian):
        from cbec_bayes.bayes.pymc.twin import fit_twin

        blocks = with_unit_terms(blocks)
        tree, diagnostics = fit_twin(blocks, draws=draws or 2_000, chains=chains, seed=seed, on_progress=on_progress)
        return PanelFit(
            blocks=blocks, priors=priors, tree=tree, diagnostics=diagnostics, khat=float("nan"), collapsed=None
        )
    collapsed = collapsed_of(blocks)
    prepared = time.perf_counter()
    drawn = draw_scales(collapsed, draws=draws or 1_000, chains=chains, seed=seed, on_progress=on_progress)
    sampled = time.perf_counter()
    tree = store(blocks, collapsed, drawn, seed=seed, attrs=attrs, densities=densities)
    stored = time.perf_counter()
    seconds = {"prepare": prepared - begun, "sample": sampled - prepared, "effects": stored - sampled}
    return PanelFit(
        blocks=blocks,
        priors=priors,
        tree=tree,
        diagnostics=_diagnose(tree, drawn, collapsed, seconds),
        khat=drawn.khat,
        collapsed=collapsed,
        evidence=drawn.evidence,
    )


def restore(design: Design, model: str | PanelModel, tree: Any, diagnostics: Mapping[str, Any]) -> PanelFit:
    """Return a fit whose posterior was stored, as it was.

    Parameters
    ----------
    design, model
        That were fitted.
    tree
        The posterior.
    diagnostics
        As `SamplingDiagnostics.as_dict` and `Evidence.as_dict` gave them; None stands for NaN.
    """
    blocks = blocks_for(design, model)
    named = {field.name: diagnostics[field.name] for field in fields(SamplingDiagnostics)}
    named |= {name: float("nan") for name, value in named.items() if value is None and name != "khat"}
    found = SamplingDiagnostics(**named)
    priors = resolve(blocks.model, blocks.design)
    if not found.engine.startswith("collapsed"):
        return PanelFit(
            blocks=with_unit_terms(blocks),
            priors=priors,
            tree=tree,
            diagnostics=found,
            khat=float("nan"),
            collapsed=None,
        )
    collapsed = collapsed_of(blocks)
    return PanelFit(
        blocks=blocks,
        priors=priors,
        tree=tree,
        diagnostics=found,
        khat=float("nan") if found.khat is None else found.khat,
        collapsed=collapsed,
        evidence=Evidence.from_dict(diagnostics),
    )


def draw_scales(
    collapsed: Collapsed,
    *,
    draws: int,
    chains: int,
    seed: int,
    pilot: int = PILOT,
    near: Array | None = None,
    on_progress: OnProgress = ignore_progress,
) -> Draws:
    """Draw the sampled scales of a collapsed posterior, of shape (chain, draw, k), as `sample_density` does."""
    if not collapsed.names:  # every scale is held by its prior, and the evidence is the likelihood itself
        return Draws(
            points=np.zeros((chains, draws, 0)),
            method="importance",
            khat=0.0,
            ess=float(draws * chains),
            proposals=0,
            divergences=0,
            ebfmi=float("nan"),
            evidence=Evidence(float(collapsed.log_likelihood(np.zeros((1, 0)))[0]), 0.0),
        )
    return sample_density(
        collapsed.log_posterior,
        collapsed.gradient,
        collapsed.start(),
        draws=draws,
        chains=chains,
        seed=seed,
        pilot=pilot,
        near=near,
        on_progress=on_progress,
    )


def _diagnose(tree: Any, drawn: Draws, collapsed: Collapsed, seconds: dict[str, float]) -> SamplingDiagnostics:
    posterior = tree["posterior"].dataset
    chains, draws = drawn.points.shape[:2]
    # What single units have follows from all else by one normal draw, and there may be very many of them.
    every = [own.to_numpy() for own in posterior.data_vars.values() if "unit" not in own.dims]
    # A coefficient that is zero by convention does not vary: its R-hat is 0 / 0, and no number of the report.
    moving = [np.moveaxis(own.reshape(chains, draws, -1), 2, 0) for own in every if np.ptp(own) > 0]
    found = convergence(np.concatenate(moving))
    bulk, importance = worst(found.bulk, np.min), drawn.method == "importance"
    return SamplingDiagnostics(
        engine=f"collapsed-{drawn.method}",
        rhat_max=worst(found.rhat, np.max),
        ess_bulk_min=min(bulk, drawn.ess) if importance else bulk,
        ess_tail_min=worst(found.tail, np.min),
        divergences=drawn.divergences,
        ebfmi_min=drawn.ebfmi,
        seconds=seconds,
        draws=chains * draws,
        khat=drawn.khat if importance else None,
    )
