"""Checks of several numbers against each other: honest tables of simulated data pass, planted errors are found."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from cbec_bayes.published.audit import audit
from cbec_bayes.published.printed import load_paper
from tests.support.printed_tables import write

Row = tuple[str, ...]


def verdicts(folder, rows: list[Row], toml: str = "") -> dict[str, str]:
    frame = audit(load_paper(write(folder, rows, toml))).frame()
    return dict(zip(frame["check"], frame["verdict"], strict=True))


def regression_row(seed: int, digits: int = 3) -> tuple[dict[str, str], int]:
    """Return a simple regression as printed: estimate, se, t, p, interval, F, R2, adjusted R2 and rows."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(30, 300))
    x = rng.normal(size=n)
    y = 0.3 * x + rng.normal(size=n)
    fit = stats.linregress(x, y)
    half = stats.t.ppf(0.975, n - 2) * fit.stderr
    r2 = fit.rvalue**2
    numbers = {
        "estimate": fit.slope,
        "standard_error": fit.stderr,
        "t_statistic": fit.slope / fit.stderr,
        "p_value": fit.pvalue,
        "ci_low": fit.slope - half,
        "ci_high": fit.slope + half,
    }
    column = {"f_statistic": (fit.slope / fit.stderr) ** 2, "r2": r2, "r2_adjusted": 1 - (1 - r2) * (n - 1) / (n - 2)}
    return {name: f"{value:.{digits}f}" for name, value in {**numbers, **column}.items()}, n


def rows_of(printed: dict[str, str], n: int) -> list[Row]:
    whole = ("f_statistic", "r2", "r2_adjusted")
    rows: list[Row] = [("1", "(1)", "" if name in whole else "x", name, text, "") for name, text in printed.items()]
    return [*rows, ("1", "(1)", "", "n_obs", str(n), "")]


@pytest.mark.parametrize("seed", range(20))
def test_stars_are_held_against_an_interval_alone(tmp_path, seed):
    """Stars that the p-value of SciPy earns agree, and three of them beside an interval around zero do not."""
    printed, n = regression_row(seed)
    p, low, high = (float(printed[name]) for name in ("p_value", "ci_low", "ci_high"))
    kept = {name: printed[name] for name in ("estimate", "ci_low", "ci_high")}
    earned = next((stars for level, stars in ((0.01, "***"), (0.05, "**"), (0.1, "*")) if p < level), "")
    for stars in (earned, *(["***"] if low < 0 < high else [])):
        rows = [("1", "(1)", "x", name, text, stars if name == "estimate" else "") for name, text in kept.items()]
        rows += [("1", "(2)", "x", "estimate", "1.0", "*"), ("1", "(1)", "", "n_obs", str(n), "")]
        assert (verdicts(tmp_path, rows)["interval_against_stars"] == "pass") == (stars == earned)


BESIDE = ("t_against_se", "p_against_t", "middle_of_interval", "interval_against_se", "f_against_t")


@pytest.mark.parametrize("seed", range(20))
def test_an_honest_regression_passes(tmp_path, seed):
    found = verdicts(tmp_path, rows_of(*regression_row(seed)))
    assert {found[check] for check in (*BESIDE, "r2_adjusted_against_r2", "r2_range")} == {"pass"}


@pytest.mark.parametrize(
    ("quantity", "factor", "check", "verdict"),
    [
        ("standard_error", 10, "t_against_se", "fail"),
        ("t_statistic", 1.3, "t_against_se", "fail"),
        ("ci_low", -3, "middle_of_interval", "undetermined"),
        ("estimate", 5, "middle_of_interval", "fail"),
        ("standard_error", 2, "interval_against_se", "fail"),
        ("standard_error", 1.4, "interval_against_se", "undetermined"),
        ("f_statistic", 1.5, "f_against_t", "undetermined"),
    ],
)
def test_each_number_that_does_not_belong_is_found(tmp_path, quantity, factor, check, verdict):
    printed, n = regression_row(3)
    printed[quantity] = f"{factor * float(printed[quantity]):.3f}"
    assert verdicts(tmp_path, rows_of(printed, n))[check] == verdict


@pytest.mark.parametrize(("prob", "verdict"), [(0.95, "pass"), (0.9, "undetermined"), (0.99, "undetermined")])
def test_intervals_of_another_probability_are_no_fault(tmp_path, prob, verdict):
    printed, n = regression_row(3)
    b, half = float(printed["estimate"]), stats.t.ppf((1 + prob) / 2, n - 2) * float(printed["standard_error"])
    printed |= {"ci_low": f"{b - half:.3f}", "ci_high": f"{b + half:.3f}"}
    rows = [*rows_of(printed, n), ("1", "(1)", "", "df", str(n - 2), "")]
    assert verdicts(tmp_path, rows)["interval_against_se"] == verdict


@pytest.mark.parametrize("t", [2.2, 1.4])
def test_the_test_of_a_ratio_may_be_any_of_three(tmp_path, t):
    """Of the ratio 1.80 with standard error s: log(r) r / s is the statistic of most programs."""
    s = 1.8 * math.log(1.8) / t
    values = {"estimate": "1.800", "standard_error": f"{s:.3f}", "t_statistic": f"{t:.2f}"}
    rows: list[Row] = [("1", "OR", "x", name, text, "") for name, text in values.items()]
    assert verdicts(tmp_path, rows)["t_against_se"] == "pass"


def test_a_p_value_that_does_not_belong_is_found(tmp_path):
    printed, n = regression_row(3)
    printed["p_value"] = "0.400"
    assert verdicts(tmp_path, rows_of(printed, n))["p_against_t"] == "fail"


@pytest.mark.parametrize(("above", "expected"), [(0, "pass"), (0.02, "fail")])
def test_the_adjusted_fit_is_no_better_than_the_fit(tmp_path, above, expected):
    printed, n = regression_row(5)
    printed["r2_adjusted"] = f"{float(printed['r2_adjusted']) + above:.3f}"
    assert verdicts(tmp_path, rows_of(printed, n))["r2_adjusted_against_r2"] == expected
    fixed = [*rows_of(printed, n), ("1", "(1)", "", "unit_effects", "yes", "")]
    assert verdicts(tmp_path, fixed)["r2_adjusted_against_r2"] == ("undetermined" if above else "pass")


@pytest.mark.parametrize(("clusters", "verdict"), [("20", "pass"), ("31", "undetermined"), ("400", "fail")])
def test_clusters_are_sets_of_rows(tmp_path, clusters, verdict):
    rows: list[Row] = [("1", "(1)", "x", "estimate", "1.0", ""), ("1", "(1)", "", "n_obs", "300", "")]
    rows.append(("1", "(1)", "", "clusters", clusters, ""))
    assert verdicts(tmp_path, rows, "[panel]\nunits = 30\nperiods = 10")["clusters"] == verdict


def descriptive(values: dict[str, str], n: int, term: str = "k") -> list[Row]:
    rows: list[Row] = [("2", name, term, name, text, "") for name, text in values.items()]
    return [*rows, ("2", "n", term, "n_obs", str(n), "")]


@pytest.mark.parametrize("ddof", [0, 1])
def test_grim_and_grimmer_by_brute_force(tmp_path, ddof):
    """Samples of five numbers pass; deviations pass if and only if a sum of squares of the right parity is found."""
    n, seen = 5, set()
    for sample in itertools.combinations_with_replacement(range(5), n):
        data = np.array(sample)
        seen.add((f"{data.mean():.2f}", f"{data.std(ddof=ddof):.2f}"))
    toml = '[moments]\nintegers = ["k"]'
    for mean, sd in sorted(seen)[::7]:
        found = verdicts(tmp_path, descriptive({"mean": mean, "sd": sd}, n), toml)
        assert (found["grim"], found["grimmer"]) == ("pass", "pass")
    assert verdicts(tmp_path, descriptive({"mean": "1.31", "sd": "1.00"}, n), toml)["grim"] == "fail"
    tried = []
    for total, squares in itertools.product((6, 7), range(12, 40)):
        sd = f"{math.sqrt((squares - total**2 / n) / (n - ddof)):.2f}"
        found = verdicts(tmp_path, descriptive({"mean": f"{total / n:.2f}", "sd": sd}, n), toml)
        tried.append((found["grimmer"], _parity(total / n, float(sd), n)))
    assert {(verdict, possible) for verdict, possible in tried} == {("pass", True), ("fail", False)}


def _parity(mean: float, sd: float, n: int) -> bool:
    """Whether a whole number of the right parity lies among the sums of squares, tried one by one."""
    for total in (k for k in range(100) if abs(k / n - mean) <= 0.005 + 1e-12):
        for squares in range(2000):
            variance = (squares - total**2 / n) / n
            deviations = [math.sqrt(max(variance, 0) * n / (n - d)) for d in (0, 1)]
            if (squares - total) % 2 == 0 and any(abs(one - sd) <= 0.005 + 1e-9 for one in deviations):
                return True
    return False


@pytest.mark.parametrize("seed", range(10))
def test_zeros_and_ones(tmp_path, seed):
    rng = np.random.default_rng(seed)
    data = (rng.random(int(rng.integers(20, 400))) < rng.uniform(0.05, 0.95)).astype(float)
    printed = {"mean": f"{data.mean():.3f}", "sd": f"{data.std(ddof=1):.3f}"}
    toml = '[moments]\nbinary = ["k"]'
    found = verdicts(tmp_path, descriptive(printed, len(data)), toml)
    assert (found["binary"], found["grim"], found["grimmer"]) == ("pass", "pass", "pass")
    printed["sd"] = f"{data.std(ddof=1) + 0.02:.3f}"
    assert verdicts(tmp_path, descriptive(printed, len(data)), toml)["binary"] == "fail"


def correlation_rows(matrix: np.ndarray, digits: int = 2) -> list[Row]:
    size = len(matrix)
    return [
        ("3", f"v{j}", f"v{i}", "correlation", f"{matrix[i, j]:.{digits}f}", "") for i in range(size) for j in range(i)
    ]


@pytest.mark.parametrize("seed", range(10))
def test_correlations_of_data_are_possible(tmp_path, seed):
    """Collinear data have a smallest eigenvalue of zero, which rounding moves below it: that is no fault."""
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(50, 5))
    data[:, 4] = data[:, 0] + data[:, 1]
    assert verdicts(tmp_path, correlation_rows(np.corrcoef(data.T)))["correlations"] in ("pass", "undetermined")


def test_correlations_that_no_data_have(tmp_path):
    matrix = np.array([[1, 0.9, 0.9], [0.9, 1, -0.9], [0.9, -0.9, 1]])
    assert np.linalg.eigvalsh(matrix)[0] < 0
    assert verdicts(tmp_path, correlation_rows(matrix))["correlations"] == "fail"
    assert verdicts(tmp_path, [("3", "a", "b", "correlation", "1.20", "")])["correlations"] == "fail"


def test_the_rounding_of_correlations_is_a_bound():
    """Brute force over the corners of the box: no smallest eigenvalue is above the bound that the check uses."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        matrix = np.round(np.corrcoef(rng.normal(size=(4, 6))), 1)
        half = np.full((4, 4), 0.05) - np.diag([0.05] * 4)
        bound = np.linalg.eigvalsh(matrix)[0] + np.linalg.eigvalsh(half)[-1]
        for signs in itertools.product((-1, 1), repeat=6):
            moved = matrix.copy()
            for (i, j), sign in zip(itertools.combinations(range(4), 2), signs, strict=True):
                moved[i, j] = moved[j, i] = matrix[i, j] + 0.05 * sign
            assert np.linalg.eigvalsh(moved)[0] <= bound + 1e-12


def test_a_pair_in_other_columns_is_only_worth_a_look(tmp_path):
    rows: list[Row] = []
    for column, term in (("a", "x"), ("b", "z")):
        rows += [("1", column, term, "estimate", "0.1234", "*"), ("1", column, term, "parenthesis", "0.0678", "")]
    assert verdicts(tmp_path, rows)["repeated_pair"] == "undetermined"
    short = [(*row[:4], row[4][:4], row[5]) for row in rows]
    assert "repeated_pair" not in verdicts(tmp_path, short)


@pytest.mark.parametrize(
    ("quantity", "printed", "reading", "verdict"),
    [
        ("standard_error", "0.15", "se", "pass"),  # 0.3 / 0.15 = 2 beside two stars
        ("standard_error", "0.30", "se", "fail"),
        ("t_statistic", "2.10", "t", "pass"),
        ("t_statistic", "1.10", "t", "fail"),
        ("p_value", "0.04", "p", "pass"),
        ("p_value", "0.40", "p", "fail"),
    ],
)
def test_stars_are_held_against_a_number_in_a_column_of_its_own(tmp_path, quantity, printed, reading, verdict):
    rows: list[Row] = [
        ("1", "(1)", "x", "estimate", "0.300", "**"),
        ("1", "(1)", "x", quantity, printed, ""),
        ("1", "(1)", "", "n_obs", "400", ""),
    ]
    in_parentheses = [(*row[:3], "parenthesis", *row[4:]) if row[3] == quantity else row for row in rows]
    toml = f'claimed_reading = "{reading}"\n'
    judged = []
    for name, one in (("apart", rows), ("within", in_parentheses)):
        (tmp_path / name).mkdir()
        judged.append(audit(load_paper(write(tmp_path / name, one, toml))).frame())
    stars = [frame[frame["check"].str.contains("star")]["verdict"].tolist() for frame in judged]
    assert stars[0] == stars[1]
    assert ("fail" in stars[0]) is (verdict == "fail")
