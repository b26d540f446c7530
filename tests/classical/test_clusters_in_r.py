"""Clusters other than units, two sets of them, and unit trends: sandwich's and clubSandwich's numbers on Produc."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.classical.few import few_clusters
from cbec_bayes.classical.regression import twfe
from cbec_bayes.classical.transformed import regress
from cbec_bayes.panel import Roles, make_panel
from cbec_bayes.panel.design import Design, make_design
from tests.support.regressions import FOLDER

GOLDEN = json.loads((FOLDER / "clusters.json").read_text(encoding="utf-8"))["cases"]
ROLES = Roles(outcome="gsp", exposure="pcap", controls=("pc", "unemp"), unit="state", time="year")
EXACT = 1e-8


def design_of(case: str, *clusters: str, weights: str | None = None) -> Design:
    frame = pd.read_csv(FOLDER / "produc.csv")
    frame = frame[(np.arange(len(frame)) + 1) % int(GOLDEN[case]["every"]) != 0]
    return make_design(make_panel(frame, replace(ROLES, clusters=clusters, weights=weights)))


def numbers(named: Mapping[str, float]) -> list[float]:
    return [named[term] for term in ("pcap", "pc", "unemp")]


@pytest.mark.parametrize("directly", [False, True])
@pytest.mark.parametrize("cluster", ["region", "year"])
@pytest.mark.parametrize("case", GOLDEN)
def test_errors_clustered_by_another_column_are_those_of_vcovcl(case, cluster, directly):
    """Without a factor, and with G / (G - 1) (n - 1) / (n - k) where k counts every effect, as lm does."""
    design = design_of(case, cluster)
    for convention, kind in (("plm", "no_factor"), ("areg", "full")):
        found = twfe(design, ssc=convention, directly=directly)
        np.testing.assert_allclose(found.estimate, numbers(GOLDEN[case]["coef"]), rtol=EXACT)
        np.testing.assert_allclose(found.se, numbers(GOLDEN[case]["one"][cluster][kind]), rtol=EXACT)


@pytest.mark.parametrize("directly", [False, True])
@pytest.mark.parametrize("clusters", [("state", "year"), ("region", "year")], ids="+".join)
@pytest.mark.parametrize("case", GOLDEN)
def test_errors_clustered_by_two_columns_are_those_of_vcovcl_and_vcovdc(case, clusters, directly):
    """Without a factor: sandwich has one for each set of clusters, ours is reghdfe's and fixest's, of the smaller."""
    found = twfe(design_of(case, *clusters), ssc="plm", directly=directly)
    np.testing.assert_allclose(found.se, numbers(GOLDEN[case]["two"]["_".join(clusters)]), rtol=EXACT)
    factored = twfe(design_of(case, *clusters), ssc="areg", directly=directly)
    n, smaller = found.n_obs, min(len(set(one.codes)) for one in design_of(case, *clusters).clusters)
    k = 3 + 48 + 17 - 1
    factor = smaller / (smaller - 1) * (n - 1) / (n - k)
    np.testing.assert_allclose(factored.se, np.sqrt(factor) * found.se, rtol=EXACT)


@pytest.mark.parametrize("weights", [None, "emp"])
@pytest.mark.parametrize("case", GOLDEN)
def test_cr2_of_clusters_of_several_units_is_clubsandwichs(case, weights):
    expected = GOLDEN[case]["cr2"]["region" if weights is None else "region_weighted"]
    found = few_clusters(design_of(case, "region", weights=weights), bootstrapped=())
    np.testing.assert_allclose(found.regression.estimate, numbers(expected["coef"]), rtol=EXACT)
    np.testing.assert_allclose(found.cr2_se, numbers(expected["se"]), rtol=EXACT)
    np.testing.assert_allclose(found.cr2_df, numbers(expected["df"]), rtol=1e-7)


@pytest.mark.parametrize(
    ("label", "clusters", "weights"),
    [
        ("state_trends", (), None),
        ("state_trends_weighted", (), "emp"),
        ("region_trends", ("region",), None),
    ],
)
@pytest.mark.parametrize("case", GOLDEN)
def test_cr2_with_unit_trends_is_clubsandwichs(case, label, clusters, weights):
    expected = GOLDEN[case]["cr2"][label]
    found = regress(design_of(case, *clusters, weights=weights), "trends")
    np.testing.assert_allclose(found.estimate, numbers(expected["coef"]), rtol=EXACT)
    np.testing.assert_allclose(found.cr2_se, numbers(expected["se"]), rtol=EXACT)
