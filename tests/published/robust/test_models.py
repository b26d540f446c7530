"""Heavy tails from files: model files, columns of degrees of freedom, sentences, and the PyMC twin of each new term."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.jobs.published import pool_file
from cbec_bayes.published.between_shape import BetweenShape
from cbec_bayes.published.estimate_file import read_estimates
from cbec_bayes.published.estimates import Estimates, KnownError, under_reading
from cbec_bayes.published.robust.scales import mixing_rule
from cbec_bayes.published.summary import fit_summary
from cbec_bayes.published.summary_model import RobustModel, load_summary_model, model_names, read_summary_model
from cbec_bayes.published.twin import build_summary_pymc
from cbec_bayes.runtime.errors import GateError, InputError

HEAD = 'kind = "published"\nquestion = "q"\n[slope]\ndist = "flat"\n[between]\ndist = "half_normal"\nscale = 0.5\n'
ROWS = "label,estimate,se{head}\nA,0.50,0.18{df}\nB,0.30,0.10{df}\nC,0.20,0.04{df}\n"


def written(tmp_path, df: str | None = None):
    path = tmp_path / "rows.csv"
    path.write_text(ROWS.format(head="" if df is None else ",df", df="" if df is None else f",{df}"))
    return path


def test_the_shipped_model_has_a_wide_part():
    assert "published_robust" in model_names()
    found = load_summary_model("published_robust")
    assert isinstance(found, RobustModel)
    assert found.shape == BetweenShape("two_normals", {"share": 0.1, "ratio": 5.0})
    assert found.resolved(2.0).shape == found.shape
    assert found.resolved(2.0).between.params == {"scale": 1.0}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('dist = "student"', "between_shape.dist: unknown shape 'student'; did you mean 'student_t'"),
        ('dist = "student_t"\nnu = 4.0', "between_shape.nu: unknown key"),
        ('dist = "student_t"', "between_shape.df: a finite number is needed"),
        ('dist = "student_t"\ndf = 0.1', "between_shape.df: must be at least 0.5, not 0.1"),
        (
            'dist = "two_normals"\nshare = 1.0\nratio = 3.0',
            "between_shape.share: must be at least 0 and below 1, not 1",
        ),
        ('dist = "two_normals"\nshare = 0.1\nratio = 0.5', "between_shape.ratio: must be at least 1, not 0.5"),
        ("", "between_shape.dist: a text is needed"),
    ],
)
def test_a_wrong_shape_is_named(tmp_path, table, message):
    path = tmp_path / "mine.toml"
    path.write_text(f"{HEAD}[between_shape]\n{table}\n")
    with pytest.raises(InputError) as error:
        read_summary_model(path)
    assert message in str(error.value)


def test_a_normal_shape_is_the_plain_model(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(f'{HEAD}[between_shape]\ndist = "normal"\n')
    assert not isinstance(read_summary_model(path), RobustModel)


def test_degrees_of_freedom_count_and_are_said_to(tmp_path):
    without = pool_file(written(tmp_path), model="published_half_normal")
    with_df = pool_file(written(tmp_path, "4"), model="published_half_normal")
    sentence = "Estimates with degrees of freedom have a t likelihood."
    assert sentence in with_df.notes
    assert sentence not in without.notes
    assert with_df.result.groups["A"].sd > 1.02 * without.result.groups["A"].sd
    assert list(with_df.effects.columns) == list(without.effects.columns)
    assert "published_robust" in set(with_df.sensitivity["model"])
    assert with_df.diagnostics["quadrature_error"] <= 1e-6


def test_no_degrees_of_freedom_are_refused(tmp_path):
    with pytest.raises(InputError, match="degrees of freedom must be at least"):
        read_estimates(written(tmp_path, "0"))


def test_a_model_with_another_shape_says_so(tmp_path):
    found = pool_file(written(tmp_path), model="published_robust")
    assert any("or with probability 0.1 with standard deviation 5 τ" in note for note in found.notes)


def test_blank_degrees_of_freedom_are_a_known_standard_error(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("label,estimate,se,df\nA,0.5,0.1,4\nB,0.3,0.1,\n")
    errors = under_reading(read_estimates(path), "as_printed").errors
    assert [error.likelihood_df for error in errors] == [4.0, math.inf]


@pytest.mark.parametrize("df", [0.5, 1.0, 4.0, 30.0, 1e4, 1e8])
@pytest.mark.parametrize("error", [1e-5, 1e-8])
def test_a_mixture_over_scales_is_the_t_density(df, error):
    rule = mixing_rule(df, 400.0, error)
    z = np.array([0.0, 1.0, 3.0, 10.0, 20.0])
    found = np.exp(rule.log_weights) @ stats.norm.pdf(z, scale=1 / np.sqrt(rule.nodes)[:, None])
    np.testing.assert_allclose(found, stats.t.pdf(z, df), rtol=5 * error + 1e-6)


@pytest.mark.parametrize(
    "shape",
    [
        BetweenShape("normal", {}),
        BetweenShape("student_t", {"df": 3.0}),
        BetweenShape("two_normals", {"share": 0.2, "ratio": 4.0}),
    ],
    ids=lambda shape: shape.dist,
)
def test_the_twin_is_the_density_written_out(shape):
    from pymc.model.transform.conditioning import remove_value_transforms

    values, errors, dfs = np.array([0.5, math.nan, -0.2, 0.4]), [0.1, None, 0.3, 0.2], [3.0, None, math.inf, 8.0]
    rows = zip(errors, dfs, strict=True)
    given = tuple(None if s is None or df is None else KnownError(s, "", df) for s, df in rows)
    data = Estimates(("a", "b", "c", "d"), values, given)
    between = Prior("half_normal", {"scale": 0.6})
    spec = RobustModel("test", "", Prior("normal", {"mean": 0.1, "sd": 0.7}), between, 1.0, shape=shape)
    model = remove_value_transforms(build_summary_pymc(data, spec))
    density = model.compile_logp()
    rng = np.random.default_rng(3)
    for _ in range(4):
        tau, slope, z, z_new = rng.uniform(0.01, 2), rng.normal(), 2 * rng.normal(size=4), rng.normal()
        written_out = stats.halfnorm.logpdf(tau, scale=0.6) + stats.norm.logpdf(slope, 0.1, 0.7)
        for value, s, df, place in zip(values, errors, dfs, slope + tau * z, strict=True):
            if s is not None:
                likelihood = stats.norm(place, s) if math.isinf(df) else stats.t(df, place, s)
                written_out += likelihood.logpdf(value)
        both = np.append(z, z_new)
        match shape.dist:
            case "student_t":
                written_out += stats.t.logpdf(both, 3.0).sum()
            case "two_normals":
                written_out += np.log(0.8 * stats.norm.pdf(both) + 0.2 * stats.norm.pdf(both, scale=4.0)).sum()
            case _:
                written_out += stats.norm.logpdf(both).sum()
        found = float(density({"slope": slope, "between": tau, "z": z, "z_new": z_new}))
        assert found == pytest.approx(float(written_out), abs=1e-8)


def test_two_tails_that_are_both_very_heavy_are_refused_at_once():
    errors = tuple(KnownError(s, "", 1.0) for s in (0.18, 0.1, 0.04))
    data = Estimates(("a", "b", "c"), np.array([0.5, 0.3, 0.2]), errors)
    shape = BetweenShape("student_t", {"df": 1.0})
    spec = RobustModel("m", "", Prior("flat", {}), Prior("half_normal", {"scale": 0.5}), 1.0, shape=shape)
    with pytest.raises(GateError, match=r"more than 5000; give \[between_shape\] or the estimates more degrees"):
        fit_summary(data, spec)
