"""Moments of files: read in pieces, by a cluster that loses a worker as well, kept in a file, and not disclosing."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from dataclasses import fields
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.moments.panel_moments import PanelMoments
from cbec_bayes.commands import program as cli
from cbec_bayes.estimands.groups import effects
from cbec_bayes.jobs import moments as momentsjob
from cbec_bayes.jobs.moments import gather, pieces_of
from cbec_bayes.jobs.moments_file import SEAL, load_moments, moments_bytes
from cbec_bayes.panel import Roles, make_panel, read_panel
from cbec_bayes.panel.design import make_design
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.fanout import open_executor
from cbec_bayes.runtime.staging import write_files
from tests.support.moments import assert_same

ROLES = Roles(outcome="y", exposure="d", controls=("x",), unit="firm", time="year", group="sector")
ASKED = ("--outcome", "y", "--exposure", "d", "--controls", "x", "--unit", "firm", "--time", "year")
NAMED = ("--model", "partial_pooling")


def table(n_units: int = 60, n_times: int = 6, seed: int = 1, share: float = 0.9) -> pd.DataFrame:
    """Return an unbalanced panel, its rows in no order, with some cells missing."""
    rng = np.random.default_rng(seed)
    unit, time = np.divmod(np.flatnonzero(rng.uniform(size=n_units * n_times) < share), n_times)
    d, x = rng.normal(size=(2, len(unit))) + rng.normal(size=n_units)[unit]
    slope = np.array([0.2, 0.5, 0.9])[unit % 3]
    y = 1e4 + slope * d - x + 5 * rng.normal(size=n_units)[unit] + 0.5 * rng.normal(size=len(unit))
    frame = pd.DataFrame({"firm": [f"firm {u}" for u in unit], "year": 2000 + time, "y": y, "d": d, "x": x})
    frame["sector"] = [("mining", "trade", "art")[u % 3] for u in unit]
    frame.loc[rng.choice(len(frame), 5, replace=False), "x"] = np.nan
    return frame.sample(frac=1, random_state=seed, ignore_index=True)


@pytest.fixture
def dataset(tmp_path):
    """Rows of every unit are in several files, and each file in several row groups; one file lies deeper."""
    frame = table()
    folder = tmp_path / "data"
    (folder / "more").mkdir(parents=True)
    for k, part in enumerate(np.array_split(np.arange(len(frame)), 4)):
        where = folder / ("more" if k == 3 else ".") / f"part{k}.parquet"
        frame.iloc[part].to_parquet(where, row_group_size=20)
    return frame, folder


def program(capsys, *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return int(stopped.value.code or 0), captured.out, captured.err


def test_a_dataset_in_pieces_is_the_frame(dataset, monkeypatch):
    frame, folder = dataset
    whole = gather([frame], ROLES)
    assert whole.dropped == 5
    assert whole.groups == ("art", "mining", "trade")
    assert len(pieces_of(folder)) > 10
    monkeypatch.setattr(momentsjob, "BATCH", 7)
    assert_same(whole, gather(folder, ROLES))
    assert_same(whole, gather((frame.iloc[i : i + 11] for i in range(0, len(frame), 11)), ROLES))
    with open_executor(2) as two:
        assert_same(whole, gather(folder, ROLES, executor=two))


def test_the_posterior_is_that_of_the_rows(dataset):
    frame, folder = dataset
    panel = make_panel(frame.sort_values(["sector", "firm", "year"], ignore_index=True), ROLES)
    rows, without = fit(make_design(panel), "partial_pooling", draws=200), fit(gather(folder, ROLES), draws=200)
    one, two = effects(rows), effects(without)
    assert one["group"].tolist() == two["group"].tolist()
    numbers = ["no_pooling", "complete_pooling", "mean", "sd", "ci_low", "ci_high", "p_positive", "pooling_factor"]
    np.testing.assert_allclose(two[numbers], one[numbers], rtol=1e-6)


@pytest.mark.parametrize("between", [True, False])
@pytest.mark.parametrize("grouped", [True, False])
def test_a_file_of_moments_is_the_moments(tmp_path, between, grouped):
    roles = ROLES if grouped else Roles(outcome="y", exposure="d", controls=("x",), unit="firm", time="year")
    found = gather([table()], roles)
    found = found if between else _without_between(found)
    (path,) = write_files(tmp_path, {"m.nc": moments_bytes(found)})
    read = load_moments(path)
    for field in fields(PanelMoments):
        one, two = getattr(found, field.name), getattr(read, field.name)
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, two)
            assert one.dtype == two.dtype
        else:
            assert one == two, field.name


def _without_between(found: PanelMoments) -> PanelMoments:
    from dataclasses import replace

    return replace(found, between=None)


def sealed(content: bytes) -> bytes:
    return content + SEAL + hashlib.sha256(content).hexdigest().encode()


@functools.cache
def moments_held() -> xr.Dataset:
    with xr.open_dataset(
        BytesIO(moments_bytes(gather([table()], ROLES)).rpartition(SEAL)[0]), engine="h5netcdf"
    ) as held:
        return held.load()


def altered(name: str, change: Callable[[Array], Array]) -> bytes:
    """Return a file of moments one of whose arrays was changed, sealed again."""
    whole = moments_held().copy(deep=True)
    new = change(whole[name].to_numpy().copy())
    if name in whole.coords:
        whole = whole.assign_coords({name: new})
    else:
        whole[name] = (whole[name].dims, new)
    return sealed(bytes(whole.to_netcdf(engine="h5netcdf")))


def first(value: object) -> Callable[[Array], Array]:
    """Return what puts a value in the place of an array's first."""

    def change(held: Array) -> Array:
        held = held.astype(object) if isinstance(value, str) else held
        held[(0,) * held.ndim] = value
        return held

    return change


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("group", first("(all)"), "cannot name a group"),
        ("group", first("mining"), "there twice"),
        ("group", first(""), "blank"),
        ("group", first("\x1b[31mred"), r"U\+001B"),
        ("measured", first("d"), "there twice"),
        ("measured", first("y\u202e"), r"U\+202E"),
        ("time", first(np.nan), "not finite"),
        ("time", first(3000.0), "periods or counts"),
        ("size", first(0), "periods or counts"),
        ("counts", first(-1), "periods or counts"),
        ("counts", first(7), "do not add up"),
        ("counts", lambda held: held + 0.5, "not whole"),
        ("period_counts", first(99), "do not add up"),
        ("within", first(np.inf), "not finite"),
        ("within", first(-1e3), "cross-products"),
        ("within", lambda held: np.triu(held), "cross-products"),
        ("between", first(-1e12), "cross-products"),
        ("squares", first(-1.0), "cross-products"),
        ("mean", first(np.nan), "not finite"),
        ("period_sums", first(-np.inf), "not finite"),
    ],
)
def test_moments_that_no_panel_has_are_refused_though_sealed(name, change, reason, tmp_path):
    (tmp_path / "m.nc").write_bytes(altered(name, lambda held: held))
    assert load_moments(tmp_path / "m.nc").n_obs == len(table().dropna())
    (tmp_path / "m.nc").write_bytes(altered(name, change))
    with pytest.raises(InputError, match=rf"m\.nc: the file of moments is damaged \(.*{reason}") as refused:
        load_moments(tmp_path / "m.nc")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", ["str", "object", "category"])
@pytest.mark.parametrize(("column", "label"), [("sector", "(all)"), ("sector", "a\u202eb"), ("firm", "\x1b[2J")])
def test_labels_that_cannot_be_names_are_refused(kind, column, label):
    frame = table().astype({column: "object"})
    frame.loc[3, column] = label
    with pytest.raises(InputError, match=f"row 5, column '{column}'"):
        gather([frame.astype({column: kind})], ROLES)


def test_what_is_no_file_of_moments(tmp_path):
    whole = moments_bytes(gather([table()], ROLES))
    text, other = b"no", bytes(pd.DataFrame({"a": [1.0]}).to_xarray().to_netcdf(engine="h5netcdf"))
    for content, reason in (
        (text, "not a file of moments; `cbec-bayes moments` writes such files"),
        (b"", "not a file of moments; "),
        (other, "not a file of moments; "),
        (whole[: len(whole) // 2], "damaged or cut; "),
        (whole[:-1], "damaged or cut; "),
        (whole[:-2] + b"..", "damaged or cut; "),
        (whole + b" ", "damaged or cut; "),
        (sealed(text), r"not a file of moments \("),
        (sealed(other), "not a file of moments; "),
    ):
        (tmp_path / "m.nc").write_bytes(content)
        with pytest.raises(InputError, match=f"m.nc: {reason}"):
            load_moments(tmp_path / "m.nc")
    with pytest.raises(InputError, match="no such file"):
        load_moments(tmp_path / "none.nc")
    with pytest.raises(InputError, match="this is a folder"):
        load_moments(tmp_path)


def test_moments_are_open_netcdf_of_a_version(tmp_path):
    """Any reader of netCDF opens them, seal and all; what claims to be moments and cannot be is refused."""
    (tmp_path / "m.nc").write_bytes(moments_bytes(gather([table()], ROLES)))
    held = xr.load_dataset(tmp_path / "m.nc", engine="h5netcdf")
    np.testing.assert_array_equal(held["within"], load_moments(tmp_path / "m.nc").within)
    changed = held.copy(deep=True)
    changed["within"][0, 0, 0] = np.nan
    for one, reason in (
        (held.assign_attrs(version=2), "moments of version 2, and only version 1 can be read"),
        (held.drop_vars("within"), "the file of moments is damaged"),
        (changed, "the file of moments is damaged"),
    ):
        (tmp_path / "other.nc").write_bytes(sealed(bytes(one.to_netcdf(engine="h5netcdf"))))
        with pytest.raises(InputError, match=reason):
            load_moments(tmp_path / "other.nc")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"firm": None}, "the cell is blank"),
        ({"year": None}, "the cell is blank"),
        ({"y": "many"}, "'many' is not a number"),
        ({"y": np.inf}, "the value is infinite"),
        ({"sector": "elsewhere"}, "is in two groups"),
    ],
)
def test_rows_that_cannot_be_used(tmp_path, change, message):
    frame = table().astype({"y": object})
    for column, value in change.items():
        frame[column] = frame[column].astype(object)
        frame.loc[40, column] = value
    with pytest.raises(InputError, match=message):
        gather([frame.iloc[:30], frame.iloc[30:]], ROLES)


def test_a_row_without_a_group_is_left_out(tmp_path):
    frame = table()
    without = frame.assign(sector=frame["sector"].astype(object))
    without.loc[40, "sector"] = None
    found, expected = (gather([one.iloc[:30], one.iloc[30:]], ROLES) for one in (without, frame.drop(index=40)))
    assert (found.dropped, found.n_obs) == (expected.dropped + 1, expected.n_obs)
    np.testing.assert_allclose(found.within, expected.within)


def test_datasets_that_cannot_be_read(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"the folder has no \.parquet file"):
        gather(tmp_path / "empty", ROLES)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and nothing")
    with pytest.raises(InputError, match=r"bad\.parquet: not readable as Parquet"):
        gather(tmp_path / "bad.parquet", ROLES)
    with pytest.raises(InputError, match="no such file"):
        gather(tmp_path / "none.parquet", ROLES)
    table().drop(columns="d").to_parquet(tmp_path / "lacks.parquet")
    with pytest.raises(InputError, match="column 'd': no such column"):
        gather(tmp_path / "lacks.parquet", ROLES)
    twice = pd.concat([table(), table().iloc[[7]]])
    with pytest.raises(InputError, match=r"'firm \d+' has the period \d+ twice"):
        gather([twice], ROLES)


def test_the_command(dataset, tmp_path, capsys, monkeypatch):
    frame, folder = dataset
    monkeypatch.chdir(tmp_path)
    asked = (*ASKED, "--group", "sector", "--out", "shared/m.nc")
    status, _, err = program(capsys, "moments", folder, *asked)
    assert status == 2
    assert "would disclose single units" in err
    assert "--disclose writes them all the same" in err
    assert not Path("shared").exists()
    status, out, _ = program(capsys, "moments", folder, *asked, "--disclose", "--json")
    assert status == 0
    found = json.loads(out)
    assert found["moments"]["rows"] == len(frame) - 5
    assert found["moments"]["dropped"] == 5
    assert found["written"] == ["shared/m.nc"]
    status, out, _ = program(capsys, "fit", "--moments", "shared/m.nc", "--out", "fit")
    assert status == 0
    assert "Fitted to moments of" in out
    assert (
        "No model was named. The default 'robust' needs rows, which moments do not hold; the model fitted is "
        "'partial_pooling'."
    ) in out
    assert "5 rows with missing cells left out" in out
    frame.to_csv("panel.csv", index=False)
    assert (
        program(capsys, "fit", "--data", "panel.csv", *ASKED, "--group", "sector", *NAMED, "--out", "rows", "-q")[0]
        == 0
    )
    one, two = (pd.read_csv(Path(name) / "effects.csv").set_index("group") for name in ("rows", "fit"))
    for column in ("no_pooling", "complete_pooling"):
        np.testing.assert_allclose(two.loc[one.index, column], one[column], rtol=1e-7)
    np.testing.assert_allclose(two.loc[one.index, "mean"], one["mean"], atol=5 * one["mcse"].max())
    assert "Nothing has changed" in program(capsys, "fit", "--moments", "shared/m.nc", "--out", "fit")[1]
    for command in ("check", "compare", "report"):
        status, _, err = program(capsys, command, "fit")
        assert (status, "this fit was made of moments" in err) == (2, True)
    status, _, err = program(capsys, "fit", "--moments", "shared/m.nc", "--data", "panel.csv")
    assert (status, "leave out --data" in err) == (2, True)
    status, _, err = program(capsys, "fit", "--data", "panel.csv")
    assert (status, "missing options: --outcome, --exposure, --unit, --time" in err) == (2, True)


def test_moments_of_any_file_that_can_be_read(tmp_path):
    frame = table()
    frame.to_csv(tmp_path / "p.csv", index=False)
    assert_same(gather([frame], ROLES), gather(tmp_path / "p.csv", ROLES))
    assert read_panel(tmp_path / "p.csv", ROLES).n_obs == gather(tmp_path / "p.csv", ROLES).n_obs
