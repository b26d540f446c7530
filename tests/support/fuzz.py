"""What the mutants of tests/test_fuzz.py are made of and read by, in children of `tests.support.forks`."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import sys
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import h5py

from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.model.family import load_panel_model, read_panel_model
from cbec_bayes.commands import program as cli
from cbec_bayes.jobs.fit_settings import DIAGNOSTICS, POSTERIOR, read_settings
from cbec_bayes.jobs.fit_tables import tabulate
from cbec_bayes.jobs.kept import read_kept
from cbec_bayes.jobs.moments import gather
from cbec_bayes.jobs.moments_file import SEAL, load_moments, moments_bytes
from cbec_bayes.panel import Roles, make_panel, read_frame, read_panel
from cbec_bayes.panel.design import make_design
from cbec_bayes.panel.entropy import load_system
from cbec_bayes.panel.regions import load_scheme
from cbec_bayes.panel.study import read_study
from cbec_bayes.published.estimate_file import read_estimates
from cbec_bayes.published.printed import load_paper
from cbec_bayes.published.summary_model import read_summary_model
from cbec_bayes.runtime import fanout, receipts, trial
from cbec_bayes.runtime.errors import CbecBayesError
from cbec_bayes.runtime.files import asset_dir
from cbec_bayes.runtime.journal import Journal
from tests.support import mutants
from tests.support.bad_inputs import COLUMNS, table

DATA, MODELS = asset_dir("data"), asset_dir("models")
ROLES = Roles(outcome="y", exposure="d", controls=("x",), unit="city", time="year", group="region")
ASKED = [part for name, value in COLUMNS.items() for part in (f"--{name}", value)]


@dataclass(frozen=True, slots=True)
class Target:
    """A file that is read: its content, what makes mutants of it, and what reads it in the place of a path."""

    name: str
    content: bytes
    mutate: mutants.Mutate
    read: Callable[[Path], object]


def moments() -> bytes:
    """Return a file of moments."""
    return moments_bytes(gather([table(n_units=24)], ROLES))


def in_old_form(held: bytes) -> bytes:
    """Return a file of moments in the oldest form of HDF5, whose parts have no checksums."""
    out = io.BytesIO()
    with (
        h5py.File(io.BytesIO(held.rpartition(SEAL)[0])) as old,
        h5py.File(out, "w", libver=("earliest", "v108")) as new,
    ):
        for name in old:
            old.copy(name, new)
        for key, value in old.attrs.items():
            new.attrs[key] = value
    return mutants.sealed(out.getvalue())


def reads_kept(folder: Path) -> Callable[[Path], object]:
    """Fit a panel into a folder, unless it is there, and return what reads its posterior from another file."""
    design = make_design(make_panel(table(n_units=6, n_times=4), ROLES))
    if not folder.exists():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of so few draws
            files = tabulate(fit(design, "partial_pooling", draws=3, chains=2)).files()
        folder.mkdir()
        for name, content in files.items():
            if name in (POSTERIOR, DIAGNOSTICS):
                (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    model = load_panel_model("partial_pooling")

    def read(path: Path) -> object:
        for name in (POSTERIOR, DIAGNOSTICS):
            if name != path.name:
                shutil.copy(folder / name, path.parent / name)
        again = read_kept(path.parent, design, model)
        return tabulate(again).files()

    return read


def journal(path: Path) -> object:
    return Journal(path, "what").read()


@cache
def made() -> Path:
    """Return a folder of this process, made once, that targets are made in."""
    return Path(mkdtemp(prefix="cbec_bayes_fuzz_"))


def target_of(name: str) -> Target:
    """Return a target by its name."""
    return next(one for one in targets(made()) if one.name == name)


def mutant_of(name: str, seed: int, n: int) -> bytes:
    """Return one of the mutants of a target."""
    target = target_of(name)
    return target.mutate(target.content, random.Random(f"{seed} {name} {n}"))


@cache
def targets(folder: Path) -> tuple[Target, ...]:
    """Return everything that is read, made once."""
    paper = DATA / "published" / "cbec_circulation"
    frame = table()
    for kind, write in (("parquet", frame.to_parquet), ("xlsx", frame.to_excel), ("dta", frame.to_stata)):
        write(folder / f"p.{kind}", **({"index": False} if kind == "xlsx" else {}))
    written = Journal(folder / "j", "what")
    write = written.open()
    for k in range(3):
        write(k, {"slope": [0.1 * k, None], "name": "x"})
    written.close()
    kept = receipts.make("depends", {"a.csv": "a"}, said="said", found={"x": [1]}, results={"tuple": [1, 2.5]})
    (folder / "a.csv").write_text("a")
    (folder / "panel.csv").write_text("a")
    held = {"data": (folder / "panel.csv").as_posix(), "sha256": sha256(b"a").hexdigest(), "outcome": "y"}
    held |= {"exposure": "d", "controls": ["x"], "unit": "city", "time": "year", "group": None, "model": None}
    held |= {"engine": "auto", "ssc": "reghdfe", "seed": 1, "rope": None, "prior_scale": 1.0, "ci": 0.95}
    held |= {"unit_slopes": False, "neighbours": True}
    printed = b"label,estimate,se,stars,df,n_units,n_obs\na,0.10,0.05,**,30,10,100\nb,-.2,0.1,*,30,9,90\nc,,,,,,\n"

    posterior = reads_kept(folder / "kept")

    def paper_with(name: str) -> Callable[[Path], object]:
        def read(path: Path) -> object:
            beside = path.parent / "paper"
            shutil.copytree(paper, beside, dirs_exist_ok=True)
            shutil.copy(path, beside / name)
            return load_paper(beside)

        return read

    tables = sorted(paper.glob("*.csv"))
    model, study = MODELS / "nested.toml", DATA / "studies" / "paper.toml"
    summary, system = MODELS / "published_half_normal.toml", DATA / "indicators" / "cbec.toml"
    text, archive, raw = mutants.of_text, mutants.of_archive, mutants.of_bytes
    return (
        Target("panel.csv", frame.to_csv(index=False).encode(), text, lambda path: read_panel(path, ROLES)),
        Target("frame.csv", frame.to_csv(index=False).encode(), text, read_frame),
        Target("packed.csv", frame.to_csv(index=False).encode(), mutants.of_gzip, read_frame),
        Target("panel.xlsx", (folder / "p.xlsx").read_bytes(), archive, lambda path: read_panel(path, ROLES)),
        Target("panel.parquet", (folder / "p.parquet").read_bytes(), raw, lambda path: read_panel(path, ROLES)),
        Target("batches.parquet", (folder / "p.parquet").read_bytes(), raw, lambda path: gather(path, ROLES)),
        Target("panel.dta", (folder / "p.dta").read_bytes(), raw, lambda path: read_panel(path, ROLES)),
        Target("printed.csv", printed, text, read_estimates),
        *(Target(one.name, one.read_bytes(), text, paper_with(one.name)) for one in tables),
        Target("paper.toml", (paper / "paper.toml").read_bytes(), text, paper_with("paper.toml")),
        Target("model.toml", model.read_bytes(), text, read_panel_model),
        Target("summary.toml", summary.read_bytes(), text, read_summary_model),
        Target("study.toml", study.read_bytes(), text, read_study),
        Target("system.toml", system.read_bytes(), text, load_system),
        Target("scheme.csv", (DATA / "regions" / "four_regions.csv").read_bytes(), text, load_scheme),
        Target(
            "fit.json", json.dumps(held, indent=1).encode(), mutants.of_json, lambda path: read_settings(path.parent)
        ),
        Target(
            ".fit.receipt",
            kept.text().encode(),
            raw,
            lambda path: (shutil.copy(folder / "a.csv", path.parent), receipts.read(path.parent, "fit", "depends")),
        ),
        Target("journal.jsonl", (folder / "j").read_bytes(), raw, journal),
        Target("moments.nc", moments(), raw, load_moments),
        Target("resealed.nc", moments(), mutants.of_sealed, load_moments),
        Target("old.nc", in_old_form(moments()), mutants.of_sealed, load_moments),
        Target(POSTERIOR, (folder / "kept" / POSTERIOR).read_bytes(), mutants.of_netcdf, posterior),
        Target(DIAGNOSTICS, (folder / "kept" / DIAGNOSTICS).read_bytes(), mutants.of_json, posterior),
    )


NAMES = (
    *("panel.csv", "frame.csv", "packed.csv", "panel.xlsx", "panel.parquet", "batches.parquet", "panel.dta"),
    *("printed.csv", "table1.csv", "table2.csv", "table3.csv", "table4.csv", "paper.toml", "model.toml"),
    *("summary.toml", "study.toml", "system.toml", "scheme.csv", "fit.json", ".fit.receipt", "journal.jsonl"),
    *("moments.nc", "resealed.nc", "old.nc", POSTERIOR, DIAGNOSTICS),
)
"""Everything that is read."""


def refused_well(error: BaseException) -> str:
    """Return what is wrong with how a mutant was refused; blank where nothing is."""
    if not isinstance(error, CbecBayesError):
        return "".join(traceback.format_exception(error)[-3:])
    return "more than a line" if len(str(error).splitlines()) > 1 else ""


def prepare() -> None:
    """Import what children need, and make what they read, so that none of them has to."""
    import arviz  # noqa: F401
    import h5netcdf  # noqa: F401
    import openpyxl  # type: ignore[import-untyped]  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import pyfixest  # noqa: F401
    import tabulate as _  # noqa: F401
    import xarray  # noqa: F401

    from cbec_bayes.jobs import audit, check, compare, published, replicate, report, specifications  # noqa: F401

    fanout.PATIENCE = "100ms"
    trial._begun = _in_a_fork
    trial.PATIENCE = 1.0
    folder = made() / "kept"
    if (child := os.fork()) == 0:  # a fit begins threads, which children of this process would lack
        reads_kept(folder)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    targets(made())
    threads = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    assert len([name for name in threads if not name.startswith("jemalloc")]) == 1, threads


def _in_a_fork(asked: bytes, patience: float) -> tuple[bytes, int]:
    """Stand for `cbec_bayes.runtime.trial._begun`: a child of this process in the place of another Python."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(write, 1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            with open(1, "w", closefd=False) as sys.stdout:
                trial.answer(asked)
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as heard:
        said = heard.read()
    return said, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def work(name: str, asked: list[Any]) -> int:
    """Do what a child is asked for; returns its exit status."""
    if name == "program":
        cli.main(asked)
        return 0
    return read(*asked)


def read(name: str, seed: int, first: int, last: int) -> int:
    """Read the mutants of a file, in this folder; write a line for each that is not refused as it should be.

    The file `at` says which of them it is at, whatever becomes of this process.
    """
    target = target_of(name)
    path = Path(mkdtemp(dir=".")) / name
    at = os.open("at", os.O_CREAT | os.O_WRONLY)
    counts = [0, 0]
    for n in range(first, last):
        os.pwrite(at, f"{n:12}".encode(), 0)
        path.write_bytes(mutant_of(name, seed, n))
        try:
            target.read(path)
            counts[0] += 1
        except Exception as error:
            counts[1] += 1
            if wrong := refused_well(error):
                print(json.dumps([n, wrong]), flush=True)
    print(json.dumps(counts), flush=True)
    return 0
