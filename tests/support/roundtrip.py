"""What is read back of a tree that was written is the tree, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cbec_bayes.jobs.fit_tables import netcdf_bytes
from cbec_bayes.jobs.kept import read_tree


def assert_survives(tree: Any, path: Path) -> None:
    """Compare names, dimensions, types, every bit of the values, NaN and the sign of zero too, and attributes."""
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
