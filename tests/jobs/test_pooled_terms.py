"""What a user states beside a file of estimates: moderators, covariances and clusters, and what of it is refused."""

from __future__ import annotations

import numpy as np
import pytest

from cbec_bayes.commands import program as cli
from cbec_bayes.jobs.pooled_terms import AskedTerms, columns_asked, with_terms
from cbec_bayes.jobs.published import pool_file
from cbec_bayes.published.estimate_file import read_estimates
from cbec_bayes.published.estimates import under_reading
from cbec_bayes.runtime.errors import InputError

BCG = """label,estimate,se,latitude,allocation,team
trial 1,-0.889311,0.570600,44,random,a
trial 2,-1.585389,0.441114,55,random,a
trial 3,-1.348073,0.644490,42,random,b
trial 4,-1.441551,0.141457,52,random,b
trial 5,-0.217547,0.226297,13,alternate,c
trial 6,-0.786116,0.083100,44,alternate,c
trial 7,-1.620898,0.472247,19,random,d
trial 8,0.011952,0.062941,13,random,d
trial 9,-0.469418,0.237559,27,random,e
trial 10,-1.371345,0.270231,42,systematic,e
trial 11,-0.339359,0.111410,18,systematic,f
trial 12,0.445913,0.729730,33,systematic,f
trial 13,-0.017314,0.267217,33,systematic,
"""
"""The trials of a vaccine against tuberculosis (Colditz et al., 1994): log risk ratios; teams are made up."""


@pytest.fixture
def bcg(tmp_path):
    path = tmp_path / "bcg.csv"
    path.write_text(BCG)
    return path


def asked(path, **options):
    return with_terms(read_estimates(path), path, AskedTerms(**options), is_file=True)


def test_the_regression_on_latitude_is_that_of_metafor(bcg, tmp_path):
    """With tau at its REML estimate, what metafor prints: intercept 0.2515, slope -0.0291 (0.0072)."""
    (tmp_path / "fixed.toml").write_text(
        'kind = "published"\nquestion = "?"\n[slope]\ndist = "flat"\n[between]\ndist = "fixed"\nvalue = 0.27641\n'
    )
    pooled = pool_file(bcg, model=tmp_path / "fixed.toml", terms=AskedTerms(slope_on=("latitude",)))
    row = pooled.further["slope_regression"].iloc[0]
    assert (row["mean"], row["sd"]) == pytest.approx((-0.0291, 0.0072), abs=5e-5)
    assert row["covariate_mean"] == pytest.approx(435 / 13)
    assert pooled.result.common.mean - row["mean"] * 435 / 13 == pytest.approx(0.2515, abs=1e-4)


def test_tables_and_sentences_of_a_regression(bcg):
    terms = AskedTerms(slope_on=("latitude",), cluster="team", correlation=0.3)
    pooled = pool_file(bcg, model="published_half_normal", terms=terms)
    (row,) = pooled.further["slope_regression"].to_dict("records")
    assert row["covariate"] == "latitude"
    assert row["ci_high"] < 0
    assert row["n_groups"] == 13
    assert row["tau_with"] < row["tau_without"]
    assert row["explained"] == pytest.approx(1 - row["tau_with"] ** 2 / row["tau_without"] ** 2)
    assert row["tau_with"] == pooled.result.tau.mean
    assert any(note.startswith("The slope falls with latitude") for note in pooled.notes)
    assert any("posterior means of two fits" in note for note in pooled.notes)
    assert any("no other estimate changes it more" in note for note in pooled.notes)
    left_out = pooled.further["leave_one_out"]
    assert list(left_out["label"]) == [f"trial {i}" for i in range(1, 14)]
    assert left_out["tau_mean"].notna().all()
    assert set(pooled.sensitivity["reading"]) == {"as_printed"}
    without = pool_file(bcg, model="published_half_normal", terms=AskedTerms(cluster="team", correlation=0.3))
    assert without.result.tau.mean == pytest.approx(row["tau_without"], rel=1e-6)
    assert "slope_regression" not in without.further


def test_labels_are_indicators_and_numbers_may_have_decimal_commas(bcg, tmp_path):
    terms = asked(bcg, slope_on=("allocation",)).terms
    assert terms.names == ("allocation=random", "allocation=systematic")
    assert terms.measured.sum(axis=0).tolist() == [7, 4]
    (tmp_path / "c.csv").write_text("label;estimate;se;x\na;1;0,5;1,25\nb;2;0,5;-3\nc;0;0,5;2,5\n")
    commas = asked(tmp_path / "c.csv", slope_on=("x",)).terms
    assert commas.measured[:, 0].tolist() == [1.25, -3, 2.5]


def test_a_group_without_an_estimate_is_predicted_at_its_own_values(tmp_path):
    rows = "".join(f"g{i},{2 * i + 0.01 * (-1) ** i},0.05,{i}\n" for i in range(6))
    (tmp_path / "t.csv").write_text(f"label,estimate,se,x\n{rows}far,,,20\n")
    pooled = pool_file(tmp_path / "t.csv", model="published_half_normal", terms=AskedTerms(slope_on=("x",)))
    assert pooled.result.groups["far"].mean == pytest.approx(40, abs=1)
    assert pooled.result.common.mean == pytest.approx(5, abs=0.1)  # of an average of those that have an estimate


def test_a_covariance_is_read_in_the_order_of_the_estimates(bcg, tmp_path):
    errors = np.array([float(line.split(",")[2]) for line in BCG.splitlines()[1:]])
    matrix = np.outer(errors, errors) * np.where(np.eye(13) > 0, 1.0, 0.2)
    labels = [f"trial {i}" for i in range(1, 14)]
    order = [3, 0, 12, *[i for i in range(13) if i not in (3, 0, 12)]]
    lines = [",".join(["", *(labels[i] for i in order)])]
    lines += [",".join([labels[i], *(repr(float(matrix[i, j])) for j in order)]) for i in order]
    (tmp_path / "v.csv").write_text("\n".join(lines) + "\n")
    found = asked(bcg, covariance=tmp_path / "v.csv")
    np.testing.assert_allclose(found.terms.covariance, matrix, rtol=1e-14)
    assert found.notes == ()
    everyone = BCG.replace(",a\n", ",z\n")
    for team in "bcdef":
        everyone = everyone.replace(f",{team}\n", ",z\n")
    bcg.write_text(everyone.replace("systematic,\n", "systematic,z\n"))
    clustered = asked(bcg, cluster="team", correlation=0.2)
    one, other = (under_reading(estimates, "as_printed") for estimates in (found, clustered))
    np.testing.assert_allclose(one.terms.covariance, other.terms.covariance, rtol=1e-12)
    assert one.errors[0].reading == "the covariance of the errors"


def test_a_covariance_of_other_standard_errors_counts_and_is_told(tmp_path):
    (tmp_path / "e.csv").write_text("label,estimate,se\na,1,0.1\nb,2,0.2\nc,,\n")
    (tmp_path / "v.csv").write_text("x,b,a\nb,0.09,0.001\na,0.001,0.01\n")
    found = asked(tmp_path / "e.csv", covariance=tmp_path / "v.csv")
    assert found.notes == ("The standard error of 'b' is 0.2 in the file and 0.3 in the covariance, which counts.",)
    estimates = under_reading(found, "as_printed")
    assert estimates.typical.tolist() == pytest.approx([0.1, 0.3, np.inf])
    np.testing.assert_allclose(estimates.terms.covariance, [[0.01, 0.001], [0.001, 0.09]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cluster": "team"}, "--cluster and --correlation are used together"),
        ({"correlation": 0.1}, "--cluster and --correlation are used together"),
        ({"cluster": "team", "correlation": 1.5}, "--correlation must lie between -1 and 1, not 1.5"),
        ({"cluster": "taem", "correlation": 0.5}, "no column 'taem'; did you mean 'team'"),
        ({"slope_on": ("latitudes",)}, "did you mean 'latitude'"),
        ({"slope_on": ("latitude", "latitude")}, "names a column twice"),
        ({"slope_on": ("label",)}, "every row has a different label"),
        ({"slope_on": ("team",)}, "row 14, column 'team': blank"),
    ],
)
def test_options_that_cannot_be_used_are_refused_in_a_sentence(bcg, options, message):
    with pytest.raises(InputError, match=message):
        asked(bcg, **options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x,a,b\na,1,0\n", "1 rows and 2 columns"),
        ("x,a,c\na,1,0\nc,0,1\n", "'b' of the estimates has no row"),
        ("x,b,a\na,1,0\nb,0,1\n", "row 1 is of 'a' and column 1 of 'b'"),
        ("x,a,b\na,1,0.5\nb,0.4,1\n", "differs from its counterpart across the diagonal"),
        ("x,a,b\na,1,0.5\nb,0.5,0\n", "the variance of 'b' is not positive"),
        ("x,a,b\na,1,zero\nb,0,1\n", "row 2, column 'b': 'zero' is not a number"),
    ],
)
def test_a_matrix_that_is_no_covariance_is_refused(tmp_path, text, message):
    (tmp_path / "e.csv").write_text("label,estimate,se\na,1,0.1\nb,2,0.2\n")
    (tmp_path / "v.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        asked(tmp_path / "e.csv", covariance=tmp_path / "v.csv")


@pytest.mark.parametrize("correlation", [1.0, -0.9])
def test_a_correlation_without_a_positive_definite_matrix_is_refused(tmp_path, correlation):
    (tmp_path / "e.csv").write_text("label,estimate,se,k\na,1,0.1,x\nb,2,0.2,x\nc,2,0.2,x\n")
    found = asked(tmp_path / "e.csv", cluster="k", correlation=correlation)
    with pytest.raises(InputError, match="not positive definite"):
        under_reading(found, "as_printed")


def test_stars_have_no_place_in_a_covariance(tmp_path):
    (tmp_path / "e.csv").write_text("label,estimate,se,stars,k\na,1,,**,x\nb,2,0.2,***,x\n")
    found = asked(tmp_path / "e.csv", cluster="k", correlation=0.2)
    with pytest.raises(InputError, match="'a' is known only from its stars and cannot be used with a covariance"):
        under_reading(found, "as_printed")


def test_a_number_among_labels_and_a_label_among_numbers(tmp_path):
    (tmp_path / "e.csv").write_text("label,estimate,se,x\na,1,0.1,1\nb,2,0.2,2\nc,2,0.2,three\n")
    with pytest.raises(InputError, match="row 4, column 'x': 'three' is not a number"):
        asked(tmp_path / "e.csv", slope_on=("x",))


def test_many_estimates_are_left_out_on_request(tmp_path):
    rng = np.random.default_rng(1)
    rows = "".join(f"g{i},{rng.normal():.3f},0.3\n" for i in range(201))
    (tmp_path / "t.csv").write_text("label,estimate,se\n" + rows)
    pooled = pool_file(tmp_path / "t.csv", model="published_half_normal")
    assert "leave_one_out" not in pooled.further
    takes = "The common slope without each estimate takes long with 201 estimates: --leave-one-out computes it."
    assert takes in pooled.notes


def test_the_command_writes_the_tables(bcg, tmp_path):
    out = tmp_path / "out"
    options = ["--slope-on", "latitude,allocation", "--cluster", "team", "--correlation", "0.3", "--quiet"]
    with pytest.raises(SystemExit) as ended:
        cli.main(["published", str(bcg), *options, "--out", str(out)])
    assert ended.value.code in (0, None)
    header, *rows = (out / "slope_regression.csv").read_text().splitlines()
    assert header.startswith("covariate,mean,sd,ci_low,ci_high,p_positive,mcse,covariate_mean,covariate_sd,n_groups")
    assert [row.split(",")[0] for row in rows] == ["latitude", "allocation=random", "allocation=systematic"]
    header = "label,mean,sd,ci_low,ci_high,p_positive,tau_mean,origin"
    assert (out / "leave_one_out.csv").read_text().splitlines()[0] == header


def test_columns_are_named_one_by_one_or_with_commas():
    assert columns_asked(["a, b", "c"]) == ("a", "b", "c")
    assert columns_asked(None) == ()
