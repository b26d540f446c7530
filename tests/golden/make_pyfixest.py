"""Reference values from pyfixest, which follows R's fixest; see README.md.

python make_pyfixest.py      (needs pyfixest; reads golden.json for the cases)
"""

import json
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pyfixest as pf

HERE = Path(__file__).resolve().parent
DEMEANER = pf.MapDemeaner(fixef_tol=1e-13, fixef_maxiter=1_000_000)
VARIANTS = {
    f"k_{k}_G_{'on' if g else 'off'}": {"k_adj": True, "k_fixef": k, "G_adj": g}
    for k in ("none", "nonnested", "full")
    for g in (True, False)
} | {f"no_k_G_{'on' if g else 'off'}": {"k_adj": False, "k_fixef": "none", "G_adj": g} for g in (True, False)}


def numbers(values, names):
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def prepared(case):
    data = pd.read_csv(HERE / case["source"])
    if case["region"] is not None:
        data = data[data["region"] == case["region"]]
    data = data.drop(index=[row - 1 for row in case["dropped_rows"]])
    left, right = case["formula"].split(" ~ ")
    columns = {}
    for term in [left, *right.split(" + ")]:
        name = term.replace("(", "_").rstrip(")")
        source = term.removeprefix("log(").rstrip(")")
        columns[term] = name
        data[name] = np.log(data[source]) if term.startswith("log(") else data[source]
    return data, columns, left


def run(case):
    data, columns, left = prepared(case)
    slopes = case["slopes"]
    formula = f"{columns[left]} ~ {' + '.join(columns[s] for s in slopes)} | {case['unit']} + year"
    cluster = {"CRV1": case["unit"]}
    options = {"demeaner": DEMEANER}
    order = [columns[s] for s in slopes]

    fit = pf.feols(formula, data, vcov=cluster, **options)
    assert list(fit._coefnames) == order
    assert int(fit._N) == case["nobs"]
    out = {
        "coef": numbers(fit.coef()[order], slopes),
        "se": numbers(fit.se()[order], slopes),
        "tstat": numbers(fit.tstat()[order], slopes),
        "p": numbers(fit.pvalue()[order], slopes),
        "df_t": float(fit._df_t),
        "nobs": int(fit._N),
        "r2": float(fit._r2),
        "r2_adj": float(fit._adj_r2),
        "r2_within": float(fit._r2_within),
        "r2_within_adj": float(fit._adj_r2_within),
        "se_iid": numbers(pf.feols(formula, data, vcov="iid", **options).se()[order], slopes),
        "ssc": {},
    }
    clusters = case["n_units"] / (case["n_units"] - 1)
    cr0 = np.array([case["plm"]["vcovHC_arellano_group"]["HC0"][s] for s in slopes], dtype=float)
    n, k, t, g = (case[key] for key in ("nobs", "n_slopes", "n_times", "n_units"))
    size = {"none": k, "nonnested": k + t, "full": k + g + t - 1}
    for label, settings in VARIANTS.items():
        fitted = pf.feols(formula, data, vcov=cluster, ssc=pf.ssc(**settings), **options)
        se = fitted.se()[order].to_numpy(dtype=float)
        factor = (clusters if settings["G_adj"] else 1.0) * (
            (n - 1) / (n - size[settings["k_fixef"]]) if settings["k_adj"] else 1.0
        )
        np.testing.assert_allclose(se, cr0 * np.sqrt(factor), rtol=1e-6, err_msg=label)
        out["ssc"][label] = {"factor": float(factor), "se": numbers(se, slopes)}
    return out


def main():
    golden = json.loads((HERE / "golden.json").read_text())
    result = {
        "made_by": "tests/golden/make_pyfixest.py",
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in ("pyfixest", "numpy", "pandas")},
        "cases": {name: run(case) for name, case in golden["cases"].items()},
    }
    example = pf.feols(
        "inv ~ capital | firm + year",
        pd.read_csv(HERE / "grunfeld.csv"),
        vcov={"CRV1": "firm"},
        demeaner=DEMEANER,
    )
    result["reghdfe_example"] = {
        "published": 0.06328129,
        "coef": float(example.coef()["capital"]),
        "se": float(example.se()["capital"]),
    }
    (HERE / "pyfixest.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
