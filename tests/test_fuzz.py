"""Mutants of every file that is read, and of every option: exit status 0, 1 or 2, one line of refusal, nothing left.

A small share of them is tried with every run of the tests; `make fuzz` tries as many as CBEC_BAYES_FUZZ says, from the
seed CBEC_BAYES_FUZZ_SEED. A mutant that fails is kept beside the test's temporary files, and named.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest
import typer.main

from cbec_bayes.bayes.model.family import read_panel_model
from cbec_bayes.commands import program as cli
from cbec_bayes.jobs.fit_settings import read_settings
from cbec_bayes.jobs.moments import gather
from cbec_bayes.jobs.moments_file import load_moments, moments_bytes
from cbec_bayes.panel import Roles, read_frame, read_panel
from cbec_bayes.panel.entropy import load_system
from cbec_bayes.panel.regions import load_scheme
from cbec_bayes.panel.study import read_study
from cbec_bayes.published.estimates import read_estimates
from cbec_bayes.published.printed import load_paper
from cbec_bayes.published.summary_model import read_summary_model
from cbec_bayes.runtime import receipts
from cbec_bayes.runtime.errors import CbecBayesError, InputError
from cbec_bayes.runtime.files import asset_dir
from cbec_bayes.runtime.journal import Journal
from tests.support import mutants
from tests.support.bad_inputs import COLUMNS, table

DATA, MODELS = asset_dir("data"), asset_dir("models")
TIMES = int(os.environ.get("CBEC_BAYES_FUZZ", "0"))
SEED = int(os.environ.get("CBEC_BAYES_FUZZ_SEED", "1"))
ROLES = Roles(outcome="y", exposure="d", controls=("x",), unit="city", time="year", group="region")
ASKED = [part for name, value in COLUMNS.items() for part in (f"--{name}", value)]
PATIENCE = 60
"""Seconds that a mutant may take."""


@contextmanager
def bounded() -> Iterator[None]:
    """Raise where what is inside takes longer than it may."""

    def stop(*_: object) -> None:
        raise AssertionError(f"took more than {PATIENCE} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@dataclass(frozen=True, slots=True)
class Target:
    """A file that is read: its content, what makes mutants of it, and what reads it in the place of a path."""

    name: str
    content: bytes
    mutate: mutants.Mutate
    read: Callable[[Path], object]


def moments() -> bytes:
    return moments_bytes(gather([table(n_units=24)], ROLES))


def journal(path: Path) -> object:
    return Journal(path, "what").read()


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
    )


def refused_well(error: BaseException) -> str:
    """Return what is wrong with how a mutant was refused; blank where nothing is."""
    if not isinstance(error, CbecBayesError):
        return "".join(traceback.format_exception(error)[-3:])
    return "more than a line" if len(str(error).splitlines()) > 1 else ""


@pytest.mark.parametrize("k", range(22))
def test_readers_refuse_or_read_every_mutant(k, tmp_path_factory, tmp_path):
    every = targets(made(tmp_path_factory))
    assert len(every) <= 22
    if k >= len(every):
        return
    target = every[k]
    path = tmp_path / target.name
    failed: dict[str, str] = {}
    for n in range(TIMES or 10):
        chance = random.Random(f"{SEED} {target.name} {n}")
        mutant = target.mutate(target.content, chance)
        path.write_bytes(mutant)
        try:
            with bounded():
                target.read(path)
        except Exception as error:
            wrong = refused_well(error)
            if wrong:
                failed.setdefault(wrong, f"mutant {n}")
                (tmp_path / f"failed-{n}-{target.name}").write_bytes(mutant)
    assert not failed, "\n".join(f"{where} of {target.name}: {wrong}" for wrong, where in failed.items())


FOLDERS: dict[str, Path] = {}


def made(factory: pytest.TempPathFactory) -> Path:
    if "made" not in FOLDERS:
        FOLDERS["made"] = factory.mktemp("made")
    return FOLDERS["made"]


def options_of(command: str) -> Mapping[str, list[str]]:
    """Return a command's options with what each may be given in the place of what is right."""
    known = typer.main.get_command(cli.app).commands[command].params  # type: ignore[attr-defined]
    return {
        one.opts[0]: [*mutants.ODD, "1", "2", "0.5", "x", "y", "."] for one in known if one.opts[0].startswith("--")
    }


COMMANDS: dict[str, list[str]] = {
    "fit": ["fit", "--data", "panel.csv", *ASKED, "--model", "partial_pooling", "--no-neighbours"],
    "fit of moments": ["fit", "--moments", "panel.nc", "--no-neighbours"],
    "moments": ["moments", "panel.csv", *ASKED, "--out", "out/m.nc"],
    "published": ["published", "printed.csv"],
    "audit": ["audit", "--tables", "tables"],
    "compare": ["compare", "fit"],
    "replicate": ["replicate", "--study", "study.toml", "--no-few"],
    "specifications": ["specifications", "nowhere"],
    "check": ["check", "fit", "--scheduler", "nowhere:0"],
    "models": ["models"],
    "studies": ["studies"],
}
"""What is run; where a whole run takes minutes, options are read and then something is refused."""

FILES: dict[str, tuple[str, mutants.Mutate]] = {
    "fit": ("panel.csv", mutants.of_text),
    "fit of moments": ("panel.nc", mutants.of_bytes),
    "moments": ("panel.csv", mutants.of_text),
    "published": ("printed.csv", mutants.of_text),
    "audit": ("tables/paper.toml", mutants.of_text),
    "replicate": ("study.toml", mutants.of_text),
    "compare": ("fit/fit.json", mutants.of_json),
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that the commands are run on."""
    folder = tmp_path_factory.mktemp("sources")
    table().to_csv(folder / "panel.csv", index=False)
    (folder / "panel.nc").write_bytes(moments())
    (folder / "printed.csv").write_text("label,estimate,se,stars\na,0.10,0.05,**\nb,-.2,0.1,*\nc,0.3,0.2,\n")
    shutil.copytree(DATA / "published" / "cbec_circulation", folder / "tables")
    shutil.copy(DATA / "studies" / "public.toml", folder / "study.toml")
    asked = ["fit", "--data", str(folder / "panel.csv"), *ASKED, "--model", "partial_pooling", "--no-neighbours"]
    with pytest.raises(SystemExit):
        cli.main([*asked, "--out", str(folder / "fit"), "-q"])
    return folder


def mutated(command: str, chance: random.Random) -> list[str]:
    """Return arguments with one or two of them changed, left out or added."""
    found = list(COMMANDS[command])
    known = options_of(found[0])
    for _ in range(chance.choice((1, 1, 2))):
        match chance.randrange(4):
            case 0 if len(found) > 1:
                del found[chance.randrange(1, len(found))]
            case 1 if len(found) > 1:
                found[chance.randrange(1, len(found))] = chance.choice(mutants.ODD)
            case _:
                name = chance.choice(list(known))
                if name in ("--workers", "--n", "--ensemble", "--study"):  # a number that is right would be computed
                    continue
                found += [name, chance.choice(known[name])]
    # No system passes a null byte.
    return [one.replace("\0", "") for one in found]


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_commands_refuse_or_answer_every_mutant(command, sources, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("cbec_bayes.runtime.fanout.PATIENCE", "100ms")
    failed: dict[str, str] = {}
    for n in range(max(TIMES // 100, 2)):
        chance = random.Random(f"{SEED} {command} {n}")
        here = tmp_path / f"{n}"
        shutil.copytree(sources, here)
        monkeypatch.chdir(here)
        if command in FILES and n % 2:
            name, mutate = FILES[command]
            (here / name).write_bytes(mutate((here / name).read_bytes(), chance))
            asked = list(COMMANDS[command])
        else:
            asked = mutated(command, chance)
        asked += [] if command in ("models", "studies", "moments") else ["--out", "out"]
        if wrong := _wrong(asked, here / "out", capsys):
            failed.setdefault(wrong, f"mutant {n}: {' '.join(asked)[:300]!r}")
        else:
            shutil.rmtree(here)
    assert not failed, "\n".join(f"{where}: {wrong}" for wrong, where in failed.items())


def _wrong(asked: list[str], out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command and return what is wrong with how it ended."""
    status: object
    try:
        with bounded(), pytest.raises(SystemExit) as stopped:
            cli.main(asked)
        status = stopped.value.code or 0
    except Exception as error:
        capsys.readouterr()
        return "".join(traceback.format_exception(error)[-3:])
    said = capsys.readouterr().err
    if status not in (0, 1, 2):
        return f"exit status {status}"
    if status == 2 and (said.count("\n") != 1 or not said.startswith("error: ")):
        return f"not one line: {said[:300]!r}"
    if status == 2 and out.exists() and any(out.iterdir()):
        return "something is left"
    return ""


def test_a_fault_would_be_found(tmp_path):
    """The harness itself: what is neither read nor refused in a line is named."""
    assert refused_well(ValueError("x"))
    assert refused_well(InputError("two\nlines"))
    assert not refused_well(InputError("a line"))
