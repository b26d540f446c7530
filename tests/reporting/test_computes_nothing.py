"""Reporting draws and writes what other rooms have computed: it takes no quantile, mean, error or density itself."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import cbec_bayes.reporting

ROOM = Path(cbec_bayes.reporting.__file__).parent

STATISTICS = frozenset(
    {
        *("mean", "median", "mode", "average", "std", "var", "sem", "cov", "corr", "corrcoef", "describe"),
        *("quantile", "percentile", "nanmean", "nanmedian", "nanstd", "nanvar", "nanquantile", "histogram", "bincount"),
        *("ppf", "isf", "cdf", "sf", "pdf", "logpdf", "ndtr", "ndtri", "kde", "gaussian_kde", "sqrt", "cumsum", "diff"),
    }
)
"""Names of calls that compute a statistic of data. Ends of axes and orders of rows are found by min, max, ptp, rank."""

DISTRIBUTIONS = frozenset({"scipy", "statistics", "statsmodels", "arviz", "arviz_stats", "pymc", "pyfixest"})
"""Packages that compute what this room must be given."""

QUANTILES = frozenset({1.28, 1.282, 1.64, 1.645, 1.96, 2.576, 2.58, 3.29})
"""Quantiles of the normal distribution that an interval would be made with."""

LAYOUT = {("drawing.py", "diff")}
"""Calls that place labels: `apart` moves those that would overlap."""


def computed(path: Path) -> list[str]:
    """Return the places of a module where it computes a statistic, as ``"line: what"``."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in STATISTICS and (path.name, called) not in LAYOUT:
                found.append(f"{node.lineno}: calls {called}")
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found += [f"{node.lineno}: imports {name}" for name in names if name.partition(".")[0] in DISTRIBUTIONS]
        elif isinstance(node, ast.Constant) and isinstance(node.value, float) and node.value in QUANTILES:
            found.append(f"{node.lineno}: has the quantile {node.value}")
    return found


@pytest.mark.parametrize("path", sorted(ROOM.glob("*.py")), ids=lambda path: path.stem)
def test_a_module_of_reporting_computes_no_statistic(path):
    assert computed(path) == []


@pytest.mark.parametrize(
    "line",
    [
        "from scipy import stats",
        "import arviz.stats",
        "half = 1.96 * se",
        "end = norm.ppf(0.975)",
        "low = np.quantile(draws, 0.025)",
        "middle = table['mean'].mean()",
        "spread = table['slope'].std(ddof=1)",
        "error = sd / math.sqrt(ess)",
    ],
)
def test_a_statistic_in_reporting_is_found(line, tmp_path):
    module = tmp_path / "module.py"
    module.write_text(f"{line}\n", encoding="utf-8")
    assert len(computed(module)) == 1


def test_what_formats_is_no_statistic(tmp_path):
    module = tmp_path / "module.py"
    module.write_text("row['mean'], row['std'], values.min(), axes.set_xlim(low.max()), f'{share:.3f}'\n")
    assert computed(module) == []
