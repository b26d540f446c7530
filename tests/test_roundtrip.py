"""What is written is what is read: every group of every fit's tree, bit for bit, of fits that went wrong too."""

from __future__ import annotations

import numpy as np
import pytest

from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.sampling.nuts import sample
from cbec_bayes.jobs.fit_tables import netcdf_bytes, read_tree
from cbec_bayes.published.estimates import under_reading
from cbec_bayes.published.summary_model import load_summary_model
from cbec_bayes.published.twin import build_summary_pymc
from tests.support.members import panel


def assert_survives(tree, path):
    """Names, dimensions, types, every bit of the values, NaN and the sign of zero included, attributes but the time."""
    path.write_bytes(netcdf_bytes(tree))
    back = read_tree(path)
    assert list(back.groups) == list(tree.groups)
    for group in tree.groups:
        held, read = tree[group].dataset, back[group].dataset
        assert dict(read.sizes) == dict(held.sizes)
        assert set(read.variables) == set(held.variables)
        assert set(read.coords) == set(held.coords)
        for name, values in held.variables.items():
            one, other = values.to_numpy(), read.variables[name].to_numpy()
            where = f"{group}/{name}"
            assert read.variables[name].dims == values.dims, where
            assert one.dtype.kind == other.dtype.kind or {one.dtype.kind, other.dtype.kind} <= set("OUT"), where
            if one.dtype.kind in "fiub":
                assert one.tobytes() == other.astype(one.dtype).tobytes(), where
            else:
                np.testing.assert_array_equal(one.astype(str), other.astype(str), err_msg=where)
        timeless = {key: value for key, value in held.attrs.items() if key not in ("created_at", "sampling_time")}
        assert {key: str(value) for key, value in read.attrs.items()} == {k: str(v) for k, v in timeless.items()}
    assert netcdf_bytes(back) == netcdf_bytes(read_tree(path))


@pytest.mark.parametrize("model", ["partial_pooling", "no_pooling", "ar1", "nested", "group_variance"])
def test_a_fit(model, tmp_path):
    assert_survives(fit(panel("unbalanced"), model, draws=60).tree, tmp_path / "tree.nc")


@pytest.mark.slow
def test_a_fit_of_printed_slopes_that_diverged(printed_slopes, tmp_path):
    estimates = under_reading(printed_slopes, "coherent")
    model = build_summary_pymc(estimates, load_summary_model("published_half_normal"), unit=1.2377)
    tree, diagnostics = sample(model, ("slope", "between"), draws=500, tune=200, chains=2, seed=1, target_accept=0.6)
    assert diagnostics.divergences > 0
    assert_survives(tree, tmp_path / "tree.nc")
