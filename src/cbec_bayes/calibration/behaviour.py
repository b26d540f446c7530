"""What the program computes at fixed points and seeds: the seal of a calibration, which no renaming breaks.

Results of a calibration hold for the code that made them. Whether the code at hand still computes the same numbers is
asked of the numbers: log densities, gradients, draws, simulated data, ranks and intervals on a few small panels, the
plan of the work, the limits of the gates, and what given ranks and intervals come to. They are stored beside the
results, and compared with a tolerance, because another processor rounds otherwise. Not among them are draws of a Markov
chain, in which a last digit grows until nothing agrees.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from cbec_bayes.bayes.events.model import event_blocks
from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.model.blocks import Blocks, blocks_for
from cbec_bayes.bayes.model.family import load_panel_model, panel_model_names
from cbec_bayes.bayes.posterior import posterior_draws
from cbec_bayes.bayes.refit import Refit, refit
from cbec_bayes.bayes.sampling import gates
from cbec_bayes.bayes.sampling.gates import RefitDiagnostics
from cbec_bayes.calibration import coverage, event_coverage, plan, sbc
from cbec_bayes.calibration.coverage import OUTCOMES, SCENARIOS, Outcomes, intervals, simulate
from cbec_bayes.calibration.simulate import GROUP_SIZES, from_prior, simulated_regressors, with_outcome
from cbec_bayes.calibration.uniformity import band, uniformity
from cbec_bayes.estimands.groups import refitted_slopes
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array, TwoWay
from cbec_bayes.runtime.fanout import single_threaded
from cbec_bayes.runtime.labels import GROUP_ALL

DIGITS = 12
"""Significant digits that are stored."""

SEED = 20_240_701
_SMALL: Mapping[str, Any] = {"group_sizes": (4, 3, 3), "n_times": 5}
_LEFT_OUT = (3, 4, 11, 22, 37, 49)
"""Rows that the unbalanced panel lacks."""

_PLANNED, _CUT = 1_000, 60
"""Replications that the plan is asked for, and those of each member that are cut into pieces."""

_POINTS = 3
_DRAWN = 40
_KEPT = 2
"""Points of the scales, points that effects are drawn at, and how many of the draws are stored."""

STEADY = ("complete_pooling", "partial_pooling")
"""Members of so few scales that their draws are the same on every processor.

Proposals come from a singular value decomposition of the scales' covariance. With four scales or more its vectors were
seen to have the other sign with another kernel of the linear algebra, and every draw is then another one of the same
distribution. Of the other members what is drawn given the scales is stored, at fixed points of these.
"""

type Numbers = Mapping[str, Any]
"""Lists of numbers, nested by what they are of."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the behaviour.

    Attributes
    ----------
    measure
        Computes it.
    tolerance
        Greatest difference from what is stored, relative to the largest number of a list.
    """

    measure: Callable[[], Numbers]
    tolerance: float


def _panels() -> dict[str, Design]:
    """Return a balanced and an unbalanced panel, with regressors like those of the calibration and an outcome."""
    rng = np.random.default_rng(SEED)
    balanced = simulated_regressors(rng, **_SMALL)
    balanced = replace(balanced, y=balanced.x[:, 0] + rng.standard_normal(balanced.n_obs))
    rows = np.setdiff1d(np.arange(balanced.n_obs), _LEFT_OUT)
    unit, time, group = balanced.unit[rows], balanced.time[rows], np.asarray(balanced.group)[rows]
    y, x, effects = balanced.y[rows], balanced.x[rows], TwoWay(unit, time)
    part = replace(balanced, y=y, x=x, unit=unit, time=time, group=group, effects=effects)
    return {"balanced": balanced, "unbalanced": part}


def _members(*, gaussian: bool) -> Iterator[tuple[str, str, Blocks]]:
    """Yield the panel, the member and its blocks, of every member on every panel."""
    for rows, design in _panels().items():
        for name in panel_model_names():
            if load_panel_model(name).is_gaussian == gaussian:
                yield rows, name, blocks_for(design, name)


def _wave(shape: tuple[int, ...], phase: float) -> Array:
    """Return numbers within a third of zero that are all different, and depend on nothing but the shape."""
    return np.asarray(np.cos(1.7 * np.arange(math.prod(shape)) + phase).reshape(shape) / 3)


def _densities() -> Numbers:
    """Log likelihood, log posterior and gradient of every Gaussian member at points about where its priors begin."""
    found: dict[str, Any] = {}
    for rows, name, blocks in _members(gaussian=True):
        fitted = _at_fixed_points(blocks, _POINTS)
        density, points = fitted.collapsed, fitted.points
        found.setdefault(rows, {})[name] = {
            "log p(y | scales)": _listed(density.log_likelihood(points)),
            "log p(scales | y)": _listed(density.log_posterior(points)),
            "slopes": _listed(np.array([density.gradient(point)[1] for point in points])),
        }
    return found


def _at_fixed_points(blocks: Blocks, n: int) -> Refit:
    """Return a posterior whose scales are at fixed points in the place of draws, and all else is drawn given them."""
    collapsed = make_collapsed(blocks)
    start = collapsed.start()
    points = start + np.array([_wave(start.shape, phase) for phase in range(n)])
    draws = posterior_draws(blocks, collapsed, points, SEED)
    return Refit(blocks, collapsed, points, draws, RefitDiagnostics(draws=n, khat=0.0, ess=float(n)))


def _twins() -> Numbers:
    """Log density of every sampled member, in its coefficients and in the coordinates that the sampler moves in."""
    from pytensor.compile.mode import Mode

    from cbec_bayes.bayes.pymc.twin import pymc_of

    plain = Mode(linker="py", optimizer=None)  # nothing is compiled, for what is evaluated three times
    found: dict[str, Any] = {}
    for rows, name, blocks in _members(gaussian=False):
        own = found.setdefault(rows, {})[name] = {}
        for conditioned, coordinates in ((False, "coefficients"), (True, "coordinates of the sampler")):
            model = pymc_of(blocks, conditioned=conditioned)
            log_density = model.compile_logp(mode=plain)
            shapes = {variable: np.shape(value) for variable, value in model.initial_point().items()}
            values = [log_density({v: _wave(s, phase) for v, s in shapes.items()}) for phase in range(_POINTS)]
            own[coordinates] = _listed(np.array(values))
    return found


def _draws() -> Numbers:
    """Effects drawn at fixed points of the scales, and scales drawn: the first and the last number of a few draws."""
    found: dict[str, Any] = {}
    for rows, name, blocks in _members(gaussian=True):
        fitted = _at_fixed_points(blocks, _DRAWN)
        slopes = refitted_slopes(fitted)
        every = {**fitted.draws, "slope in common": slopes.common, "slopes of groups": slopes.groups}
        own = {parameter: _listed(_ends(values)) for parameter, values in every.items() if values.size}
        if name in STEADY:
            drawn = refit(blocks, draws=_DRAWN, seed=SEED, pilot=sbc.PILOT_OF_MANY)
            own["log scales"] = _listed(_ends(drawn.points))
        found.setdefault(rows, {})[name] = own
    return found


def _ends(values: Array) -> Array:
    """Return the first and the last number of a few draws, shape (S, ...)."""
    return np.asarray(values.reshape(len(values), -1)[:_KEPT, [0, -1]])


def _simulated() -> Numbers:
    """Regressors, one data set and its truth of every member, and one outcome of every scenario."""
    design = simulated_regressors(np.random.default_rng(SEED))
    found: dict[str, Any] = {"regressors": _listed(design.x[[0, 1, -1]]), "members": {}, "scenarios": {}}
    for gaussian in (True, False):
        for rows, name, blocks in _members(gaussian=gaussian):
            drawn = from_prior(blocks, np.random.default_rng(SEED))
            truth = {parameter: _listed(np.ravel(values)[:1]) for parameter, values in drawn.truth.items()}
            found["members"].setdefault(rows, {})[name] = {"y": _summed(drawn.y), "truth": truth}
            if blocks.model.likelihood is not None:
                own = {key: np.asarray(drawn.truth[key]) for key in blocks.model.likelihood.parameters}
                rows_of = blocks.model.likelihood.log_density(drawn.y, np.zeros(1), drawn.truth["sigma"], own)
                found["members"][rows][name]["log p(y)"] = _summed(rows_of)
    for scenario in SCENARIOS:
        drawn = simulate(scenario, design, np.random.default_rng(SEED))
        truth = {key: _listed(np.atleast_1d(values)) for key, values in drawn.truth.items()}
        found["scenarios"][scenario.name] = {"y": _summed(drawn.y), "truth": truth}
    return found


def _ranks() -> Numbers:
    """Ranks of two replications, and of one data set among draws at fixed points for every Gaussian member."""
    found: dict[str, Any] = {"among draws": {}, "among fixed points": {}}
    for name in STEADY:
        piece = sbc.Replications(name, name, (0, 1), SEED)
        found["among draws"][name] = {key: list(ranks) for key, ranks in sbc.rank_truths(piece)["ranks"].items()}
    for rows, name, blocks in _members(gaussian=True):
        drawn = from_prior(blocks, np.random.default_rng(SEED))
        fitted = _at_fixed_points(with_outcome(blocks, drawn.y), _DRAWN)
        ranks = {key: [rank] for key, rank in sbc.ranks_among(fitted, drawn.truth).items()}
        found["among fixed points"].setdefault(rows, {})[name] = ranks
    return found


def _judged() -> Numbers:
    """Return settings, and what is said of ranks that are somewhat too large."""
    ranks = (sbc.DRAWS * np.linspace(0.01, 0.99, 50) ** 0.7).astype(np.int64)
    low, high = band(len(ranks), sbc.DRAWS, 0.95)
    return {
        "settings": _listed(np.array([sbc.DRAWS, sbc.LEVEL, sbc.WARM_UP, sbc.THINNED, sbc.TARGET_ACCEPT, OUTCOMES])),
        "p": _listed(np.array([uniformity(ranks, sbc.DRAWS).p])),
        "band": _listed(np.array([low[::10], high[::10]])),
    }


def _intervals() -> Numbers:
    """Intervals of one outcome of every scenario: ends and middle, less the truth."""
    found = {}
    for scenario in SCENARIOS:
        columns = intervals(Outcomes(scenario, 0, 1, STEADY, SEED))
        found[scenario.name] = {
            column: {method: _listed(np.array(values)) for method, values in methods.items()}
            for column, methods in columns.items()
        }
    return found


def _events() -> Numbers:
    """Return, of a panel of every scenario of adoption, classical intervals and densities of the hierarchical model.

    Its intervals come of draws of several scales, which another processor may draw otherwise; see `STEADY`.
    """
    found = {}
    for scenario in event_coverage.SCENARIOS:
        piece = event_coverage.EventPanel(scenario, SEED)
        adoption, truths = event_coverage.panel_of(piece)
        density = event_blocks(adoption, scenario.errors).collapsed()
        start = density.start()
        points = start + np.array([_wave(start.shape, phase) for phase in range(_POINTS)])
        found[scenario.name] = {
            "y": _summed(adoption.design.y),
            "truths": _listed(np.array(list(truths.values()))),
            "log p(scales | y)": _listed(density.log_posterior(points)),
            **{
                f"{method}: {column}": _listed(np.array(numbers))
                for method, column, *numbers in event_coverage.classical_intervals(adoption, truths)
            },
        }
    return found


def _planned() -> Numbers:
    """Return the plan, and the pieces that the work is cut into."""
    planned = plan.plan(_PLANNED)
    ranked = [(name, name, _CUT) for name in panel_model_names()]
    found: dict[str, Any] = {
        "replications": {f"{model} fitted to data of {data_of}": [n] for model, data_of, n in planned.models},
        "outcomes": [planned.outcomes],
        "event panels": [planned.event_panels],
        "draws of events": [event_coverage.DRAWS, event_coverage.PILOT],
        "members with intervals": {name: [at] for at, name in enumerate(coverage.MODELS)},
        "pieces of ranks": {},
        "pieces of intervals": {},
    }
    for piece in sbc.pieces_of(ranked, SEED):
        own = found["pieces of ranks"].setdefault(f"{piece.model} fitted to data of {piece.data_of}", [])
        own += [piece.seed, *piece.numbers]
    for part in coverage.pieces_of(_CUT, SCENARIOS, coverage.MODELS, SEED):
        own = found["pieces of intervals"].setdefault(part.scenario.name, {})
        own[str(part.panel)] = [part.n, part.seed, *(coverage.MODELS.index(name) for name in part.models)]
    return found


def _concluded() -> Numbers:
    """Return what is said of given ranks, whose p-values lie about the level, and of given intervals."""
    shares = np.linspace(0.005, 0.995, 100)
    ranks = {str(power): ((sbc.DRAWS + 1) * shares**power).astype(np.int64) for power in (0.6, 0.63, 0.66, 0.7, 1.0)}
    results = [sbc.Calibration("a", "a", ranks, 0), sbc.Calibration("b", "b", {"1": ranks["0.63"][:60]}, 2)]
    results.append(sbc.Calibration("a", "b", {"1": ranks["0.7"]}, 1))
    judged = {
        f"{row['model']} fitted to data of {row['data_of']}: {row['quantity']}": _listed(
            np.array([row["replications"], row["failed"], row["p_value"], row["passed"] == "yes"])
        )
        for row in sbc.verdicts(results).to_dict("records")
    }
    events = event_coverage.measured_events("any", "any", "any", [*_BOUNDED, [math.nan] * 3])
    return {
        "level": _listed(np.array([sbc.level_of(results)])),
        "ranks": judged,
        "intervals": _covered(),
        "intervals of events": _listed(np.array([value for value in events if not isinstance(value, str)])),
    }


_BOUNDED = [[-1.0, 0.0, -0.4], [0.0, 1.5, 0.7], [0.1, 0.6, 0.3], [-2.0, -0.2, -1.0], [-0.3, 0.5, 0.2]]
"""Ends and middles of intervals less a truth."""


def _covered() -> Numbers:
    """Return the rows of given intervals: ends at the truth, one without bounds, and outcomes that were not fitted."""
    nothing = [math.nan] * 3
    given = {
        "bounded": _BOUNDED,
        "without bounds": [*_BOUNDED, [-math.inf, math.inf, 0.1]],
        "some not fitted": [*_BOUNDED, nothing, nothing],
        "none fitted": [nothing, nothing],
    }
    found: dict[str, Any] = {}
    for column in (GROUP_ALL, *(f"group {r + 1}" for r in range(len(GROUP_SIZES)))):
        for name, values in given.items():
            row = coverage.measured("any", column, "any", values, len(values))
            own = dict(zip(coverage.COVERAGE_COLUMNS, row, strict=True))
            kept = {key: _listed(np.array([own[key]])) for key in own if not isinstance(own[key], str)}
            found.setdefault(column, {})[name] = kept
    return found


def _gates() -> Numbers:
    """Return the limits of the gates, and how many of them fits about these limits miss."""
    limits = (gates.RHAT_MAX, gates.ESS_MIN, gates.EBFMI_MIN, gates.KHAT_MAX)
    halves = [gates.rhat_limit(draws, k) for draws, k in ((99, 3), (100, 12), (500, 40), (4_000, 3), (100_000, 3))]
    fits = {
        "Pareto k": [gates.RefitDiagnostics(draws=99, khat=khat) for khat in (0.69, 0.7, 0.71, math.nan)],
        "weights": [gates.RefitDiagnostics(draws=99, khat=0.0, ess=ess) for ess in (98.0, 99.0, 100.0)],
        "bulk ESS": [gates.RefitDiagnostics(draws=4_000, ess=ess) for ess in (399.0, 400.0, 401.0)],
        "R-hat": [gates.RefitDiagnostics(draws=99, rhat=rhat) for rhat in (1.009, 1.01, 1.011)],
        "E-BFMI": [gates.RefitDiagnostics(draws=99, ebfmi=ebfmi) for ebfmi in (0.29, 0.3, 0.31)],
        "divergences": [gates.RefitDiagnostics(draws=99, divergences=n) for n in (0, 1, 2)],
    }
    missed = {name: [len(fit.failures) for fit in own] for name, own in fits.items()}
    return {"limits": _listed(np.array(limits)), "R-hat of one chain": _listed(np.array(halves)), "missed": missed}


PARTS: Mapping[str, Part] = {
    "densities": Part(_densities, 1e-8),
    "densities of sampled members": Part(_twins, 1e-8),
    "simulated data": Part(_simulated, 1e-8),
    "draws": Part(_draws, 1e-6),
    "ranks": Part(_ranks, 1e-8),
    "judgement of ranks": Part(_judged, 1e-8),
    "intervals": Part(_intervals, 1e-6),
    "events": Part(_events, 1e-8),
    "plan": Part(_planned, 0.0),
    "conclusions": Part(_concluded, 1e-8),
    "gates": Part(_gates, 1e-8),
}
"""Parts of the behaviour, and their tolerances.

Densities are sums, of which another processor changes the last digits. Draws also depend on the mode that a search
finds and on differences of gradients there, in which a last digit becomes one in the tenth place. Ranks are whole
numbers; a last digit moves them only where two numbers agree in all others. With the kernels of OpenBLAS for five kinds
of processors all parts agree to 1e-12.
"""


@cache
def behaviour() -> Numbers:
    """Return all parts, by name, computed once in a process."""
    return single_threaded(lambda parts: {name: part.measure() for name, part in parts.items()}, PARTS)


def as_text(numbers: Numbers) -> str:
    """Return the behaviour as the text of a JSON file, a line for what belongs together."""
    lines = []
    for part, content in numbers.items():
        inner = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in content.items())
        lines.append(f" {json.dumps(part)}: {{\n{inner}\n }}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def differences(found: Numbers, stored: Numbers) -> list[str]:
    """Return where two behaviours differ by more than the tolerance of the part, as paths of names."""
    differing = []
    for name in sorted(found.keys() | stored.keys()):
        tolerance = PARTS[name].tolerance if name in PARTS else 0.0
        differing += _differences(found.get(name), stored.get(name), tolerance, name)
    return differing


def _differences(found: Any, stored: Any, tolerance: float, path: str) -> list[str]:
    if isinstance(found, Mapping) and isinstance(stored, Mapping):
        inner = sorted(found.keys() | stored.keys())
        return [
            line for key in inner for line in _differences(found.get(key), stored.get(key), tolerance, f"{path}: {key}")
        ]
    if not isinstance(found, list) or not isinstance(stored, list) or len(found) != len(stored):
        return [path]
    mine, theirs = np.array(found, dtype=float), np.array(stored, dtype=float)
    size = np.abs(theirs[np.isfinite(theirs)]).max(initial=0.0)
    return [] if np.allclose(mine, theirs, rtol=0, atol=tolerance * size, equal_nan=True) else [path]


def _listed(values: Array) -> list[float | str]:
    """Return numbers as they are stored; what is not finite as a word, for which JSON has none."""
    flat = [float(f"{value:.{DIGITS}g}") for value in np.ravel(values)]
    return [value if math.isfinite(value) else str(value) for value in flat]


def _summed(values: Array) -> list[float | str]:
    """Return the first number, the last, their sum and the sum of their squares."""
    return _listed(np.array([values[0], values[-1], values.sum(), values @ values]))
