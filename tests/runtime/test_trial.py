"""Files that a C library cannot end with, or that would end or fill this process, are refused by another."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from cbec_bayes.panel import read_frame
from cbec_bayes.runtime import trial
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.trial import require_sound
from tests.support.bad_inputs import table
from tests.support.processes import MARK, marked, needs_proc, wait_for


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """What is small has a second of computing."""
    monkeypatch.setattr(trial, "PATIENCE", 0.0)


def hdf5(path: Path, change: Callable[[h5py.File], object], **form: object) -> Path:
    with h5py.File(path, "w", **form) as file:
        file["a"] = np.arange(3.0)
        file["names"] = ["x", "y"]
        file.create_group("group")["b"] = 1
        file.attrs["said"] = "a text of some length"
        change(file)
    return path


def without_end(path: Path) -> Path:
    """A free block of no length among the texts, past which HDF5 never comes; found by the fuzzer."""
    content = hdf5(path, lambda _: None, libver=("earliest", "v108")).read_bytes()
    at = content.index(b"a text of some length")
    path.write_bytes(content[: at - 16] + bytes(40) + content[at + 24 :])
    return path


def of_another_level(path: Path) -> Path:
    """A footer at odds with itself, for which Arrow ends the process; found by the fuzzer."""
    out = io.BytesIO()
    table().to_parquet(out)
    content = out.getvalue()
    assert content.count(b"%\x02\x18\x04year") == 1
    path.write_bytes(content.replace(b"%\x02\x18\x04year", b"%\x5d\x18\x04year"))
    return path


def test_what_is_sound_is_read(tmp_path):
    require_sound("netcdf", [hdf5(tmp_path / "x.nc", lambda _: None)], 1e6, "no file")
    table().to_parquet(tmp_path / "p.parquet")
    for kind in ("parquet", "parquet footer"):
        require_sound(kind, [tmp_path / "p.parquet"] * 3, 1e6, "no file")


def test_the_file_that_is_not_sound_is_named(tmp_path):
    table().to_parquet(tmp_path / "sound.parquet")
    damaged = of_another_level(tmp_path / "b\udcff\n.parquet")
    for kind in ("parquet", "parquet footer"):
        with pytest.raises(InputError, match=r"no file \(the library that reads such files does not come to an end"):
            require_sound(kind, [tmp_path / "sound.parquet", damaged, tmp_path / "sound.parquet"], 1e6, "no file")
        with pytest.raises(InputError) as refused:
            require_sound(kind, [tmp_path / "sound.parquet", damaged], 1e6, "no file")
        assert refused.value.file == damaged


def test_a_file_without_end_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not come to an end"):
        require_sound("netcdf", [without_end(tmp_path / "x.nc")], 1e6, "no file")


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource("/dev/zero", "x", (4,))
    file.create_virtual_dataset("v", layout)


def deep(file: h5py.File) -> None:
    group = file
    for _ in range(20):
        group = group.create_group("x")


def kind_of_ours(file: h5py.File) -> None:
    file["kind"] = np.dtype("f8")


PARTS: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "gigabytes that are not there": (lambda file: file.create_dataset("g", (10**10,), "f8"), "GB of memory"),
    "many that are large together": (
        lambda file: [file.create_dataset(f"g{k}", (10**4,), "f8") for k in range(20)],
        "GB of memory",
    ),
    "gigabytes of few": (
        lambda file: file.create_dataset("g", (2,), "f8", chunks=(2**28,), maxshape=(None,)),
        "GB of memory",
    ),
    "a link round": (lambda file: file.__setitem__("round", file["/"]), "parts within parts"),
    "a link to the same": (lambda file: file.__setitem__("again", file["a"]), "parts within parts"),
    "a link by name": (lambda file: file.__setitem__("soft", h5py.SoftLink("/a")), "a link to somewhere else"),
    "a link to a file": (lambda f: f.__setitem__("far", h5py.ExternalLink("x.nc", "/")), "a link to somewhere else"),
    "values elsewhere": (
        lambda file: file.create_dataset("e", (10,), "f8", external=[("/dev/zero", 0, 80)]),
        "values that are in another file",
    ),
    "values of others": (virtual, "values that are in another file"),
    "groups within groups": (deep, "parts within parts"),
    "numbers of no kind": (lambda file: file.__setitem__("z", np.array([1 + 2j])), "neither numbers nor text"),
    "references": (
        lambda file: file.create_dataset("r", (1,), h5py.ref_dtype),
        "neither numbers nor text",
    ),
    "lists": (lambda file: file.create_dataset("l", (1,), h5py.vlen_dtype("f8")), "neither numbers nor text"),
    "a kind": (kind_of_ours, "neither a group nor an array"),
    "another way to pack": (
        lambda file: file.create_dataset("p", (100,), "f8", chunks=(10,), compression="lzf"),
        "packed in another way",
    ),
}


@pytest.mark.parametrize("name", PARTS)
def test_what_no_file_of_ours_has_is_refused(name, tmp_path):
    change, said = PARTS[name]
    with pytest.raises(InputError, match=rf"x\.nc: no file \(.*{said}"):
        require_sound("netcdf", [hdf5(tmp_path / "x.nc", change)], 1e6, "no file")


def test_where_no_python_can_be_begun_nothing_is_refused(tmp_path, monkeypatch):
    path = without_end(tmp_path / "x.nc")
    for program in ("", "/bin/false"):
        monkeypatch.setattr(sys, "executable", program)
        require_sound("netcdf", [path], 1e6, "no file")


def test_a_text_of_parquet_that_is_no_utf8_is_refused(tmp_path):
    out = io.BytesIO()
    table().assign(region="a region of a name").to_parquet(out)
    content = out.getvalue()
    path = tmp_path / "p.parquet"
    path.write_bytes(content.replace(b"a region of a name", b"a region of a n\xffme"))
    with pytest.raises(InputError, match=r"p\.parquet: not readable as Parquet \(.*UTF8"):
        read_frame(path)


TRIED = """
import sys
from pathlib import Path
from cbec_bayes.runtime import trial

trial.PATIENCE = 300.0
trial.require_sound("netcdf", [Path(sys.argv[1])], 1e6, "no file")
"""


@needs_proc
def test_nothing_is_left_where_it_is_interrupted(tmp_path):
    path, mark = without_end(tmp_path / "x.nc"), str(tmp_path)
    run = subprocess.Popen(
        [sys.executable, "-c", TRIED, str(path)],
        env={**os.environ, MARK: mark, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert wait_for(lambda: len(marked(mark)) == 2)
    os.killpg(run.pid, signal.SIGINT)  # as a terminal sends it, to everyone
    assert run.wait(60) != 0
    assert wait_for(lambda: not marked(mark), 30)
