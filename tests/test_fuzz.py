"""Mutants of every file that is read, and of every option: exit status 0, 1 or 2, one line of refusal, nothing left.

A small share of them is tried with every run of the tests; `make fuzz` tries as many as CBEC_BAYES_FUZZ says, from the
seed CBEC_BAYES_FUZZ_SEED. Every mutant is read, or run through the program, in a child of a process that has imported
everything (`tests.support.forks`), below two gibibytes and a minute. One that fails is kept beside the test's temporary
files, and named.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path

import docx
import pandas as pd
import pytest
import typer.main

from cbec_bayes.commands import program as cli
from cbec_bayes.runtime.errors import InputError
from tests.support import mutants
from tests.support.bad_inputs import table
from tests.support.forks import MOST, Ended, ForkServer
from tests.support.fuzz import ASKED, DATA, MODELS, NAMES, moments, mutant_of, refused_well, targets
from tests.support.processes import needs_proc

TIMES = int(os.environ.get("CBEC_BAYES_FUZZ", "0"))
SEED = int(os.environ.get("CBEC_BAYES_FUZZ_SEED", "1"))
PATIENCE = 60.0
"""Seconds that a mutant may take."""

BATCH = 200
"""Mutants of a file that one child reads."""

pytestmark = [needs_proc, pytest.mark.nightly]


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    with ForkServer() as found:
        yield found


def test_everything_that_is_read_has_its_mutants(tmp_path):
    assert tuple(sorted(one.name for one in targets(tmp_path))) == tuple(sorted(NAMES))


@pytest.mark.parametrize("name", NAMES)
def test_readers_refuse_or_read_every_mutant(name, server, tmp_path):
    failed: dict[str, int] = {}
    n, last = 0, TIMES or 10
    while n < last:
        end = min(n + BATCH, last)
        folder = tmp_path / f"{n}"
        folder.mkdir()
        ended = server("read", folder, PATIENCE * 5, name, SEED, n, end)
        *found, counts = ended.out.splitlines() or [""]
        if ended.status == 0:
            for at, wrong in map(json.loads, found):
                failed.setdefault(wrong, at)
            if wrong := _too_much(ended):
                failed.setdefault(wrong, n)
            assert sum(json.loads(counts)) == end - n
            n = end
        else:  # the mutant that it was at ended it
            at = int((folder / "at").read_text())
            failed.setdefault(f"status {ended.status}: {ended.err[-500:]}", at)
            n = at + 1
        shutil.rmtree(folder)
    for at in failed.values():
        (tmp_path / f"failed-{at}-{name}").write_bytes(mutant_of(name, SEED, at))
    assert not failed, "\n".join(f"mutant {at} of {name}: {wrong}" for wrong, at in failed.items())


def _too_much(ended: Ended) -> str:
    """Say what a child took or left that it may not, or return a blank."""
    if ended.memory >= MOST:
        return f"{ended.memory / 2**30:.2f} GiB"
    return "a process is left" if ended.left else ""


def options_of(command: str) -> Mapping[str, list[str]]:
    """Return a command's options with what each may be given in the place of what is right."""
    known = typer.main.get_command(cli.app).commands[command].params  # type: ignore[attr-defined]
    return {
        one.opts[0]: [*mutants.ODD, "1", "2", "0.5", "x", "y", "."] for one in known if one.opts[0].startswith("--")
    }


type Change = Callable[[Path, str, random.Random], object]
"""What changes a file of a folder."""

QUICK = ["--model", "partial_pooling", "--no-neighbours"]

COMMANDS: dict[str, list[str]] = {
    "fit": ["fit", "--data", "panel.csv", *ASKED, *QUICK],
    **{
        f"fit of {kind}": ["fit", "--data", f"panel.{ending}", *ASKED, *QUICK]
        for kind, ending in (("Excel", "xlsx"), ("Parquet", "parquet"), ("Stata", "dta"))
    },
    "fit of a model": ["fit", "--data", "panel.csv", *ASKED, "--model", "mine.toml", "--no-neighbours"],
    "fit of moments": ["fit", "--moments", "panel.nc", "--no-neighbours"],
    "moments": ["moments", "panel.csv", *ASKED, "--out", "out/m.nc"],
    "moments of Parquet": ["moments", "panel.parquet", *ASKED, "--out", "out/m.nc"],
    "published": ["published", "printed.csv"],
    **{
        f"report of pooled estimates, {what}": ["report", "pooled"]
        for what in ("what was asked", "a table", "its seal")
    },
    "audit": ["audit", "--tables", "tables"],
    **{
        f"audit of {kind}": ["audit", f"pasted.{ending}"]
        for kind, ending in (("text", "txt"), ("Markdown", "md"), ("HTML", "html"), ("TeX", "tex"), ("Word", "docx"))
    },
    "events": ["events", "--data", "laws.csv", *ASKED],
    **{f"compare{what}": ["compare", "fit"] for what in ("", " of a posterior", " of diagnostics", " of a receipt")},
    "replicate": ["replicate", "--study", "study.toml", "--no-few"],
    "specifications": ["specifications", "nowhere"],
    "check": ["check", "fit", "--scheduler", "nowhere:0"],
    "models": ["models"],
    "studies": ["studies"],
}
"""What is run; where a whole run takes minutes, options are read and then something is refused."""


def file(mutate: mutants.Mutate) -> Change:
    """Return what puts a mutant in the place of a file."""
    return lambda here, name, chance: (here / name).write_bytes(mutate((here / name).read_bytes(), chance))


def kept(mutate: mutants.Mutate) -> Change:
    """Return what puts a mutant in the place of a file of a fit's folder, and says in its receipt that it is right."""

    def change(here: Path, name: str, chance: random.Random) -> None:
        path = here / name
        old = sha256(path.read_bytes()).hexdigest()
        path.write_bytes(mutate(path.read_bytes(), chance))
        receipt = path.parent / ".fit.receipt"
        line = receipt.read_text().splitlines()[0].replace(old, sha256(path.read_bytes()).hexdigest())
        receipt.write_text(f"{line}\n{sha256(line.encode()).hexdigest()}\n")

    return change


FILES: dict[str, tuple[str, Change]] = {
    "fit": ("panel.csv", file(mutants.of_text)),
    "fit of Excel": ("panel.xlsx", file(mutants.of_archive)),
    "fit of Parquet": ("panel.parquet", file(mutants.of_bytes)),
    "fit of Stata": ("panel.dta", file(mutants.of_bytes)),
    "fit of a model": ("mine.toml", file(mutants.of_text)),
    "fit of moments": ("panel.nc", file(mutants.of_sealed)),
    "moments": ("panel.csv", file(mutants.of_text)),
    "moments of Parquet": ("panel.parquet", file(mutants.of_bytes)),
    "published": ("printed.csv", file(mutants.of_text)),
    "report of pooled estimates, what was asked": ("pooled/pooled.json", file(mutants.of_json)),
    "report of pooled estimates, a table": ("pooled/effects.csv", file(mutants.of_text)),
    "report of pooled estimates, its seal": ("pooled/.cbec_bayes", file(mutants.of_json)),
    "audit": ("tables/paper.toml", file(mutants.of_text)),
    **{
        f"audit of {kind}": (f"pasted.{ending}", file(mutants.of_text))
        for kind, ending in (("text", "txt"), ("Markdown", "md"), ("HTML", "html"), ("TeX", "tex"))
    },
    "audit of Word": ("pasted.docx", file(mutants.of_archive)),
    "events": ("laws.csv", file(mutants.of_text)),
    "replicate": ("study.toml", file(mutants.of_text)),
    "compare": ("fit/fit.json", file(mutants.of_json)),
    "compare of a posterior": ("fit/posterior.nc", kept(mutants.of_netcdf)),
    "compare of diagnostics": ("fit/diagnostics.json", kept(mutants.of_json)),
    "compare of a receipt": ("fit/.compare.receipt", file(mutants.of_receipt)),
}


PASTED = (
    ("", "(1)", "(2)"),
    ("x", "0.123***", "0.110**"),
    ("", "(0.030)", "(0.045)"),
    ("Observations", "1,240", "1,240"),
    ("R-squared", "0.45", "0.47"),
)
"""A regression table as people paste it."""

NOTE = "Standard errors in parentheses. *** p<0.01, ** p<0.05, * p<0.1"


def paste(folder: Path) -> None:
    """Write a regression table in every form in which one is pasted."""
    lines = ["  ".join(cell.ljust(14) for cell in row) for row in PASTED]
    (folder / "pasted.txt").write_text("\n".join([*lines, NOTE]) + "\n")
    bars = ["| " + " | ".join(row) + " |" for row in PASTED]
    (folder / "pasted.md").write_text("\n".join([bars[0], "| --- | --- | --- |", *bars[1:], "", NOTE]) + "\n")
    cells = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in PASTED)
    (folder / "pasted.html").write_text(f"<table>{cells}</table><p>{NOTE.replace('<', '&lt;')}</p>")
    rows = " \\\\\n".join(" & ".join(row) for row in PASTED)
    (folder / "pasted.tex").write_text(f"\\begin{{tabular}}{{lcc}}\n{rows}\n\\end{{tabular}}\n{NOTE}\n")
    word = docx.Document()
    grid = word.add_table(rows=len(PASTED), cols=3)
    for i, row in enumerate(PASTED):
        for k, cell in enumerate(row):
            grid.cell(i, k).text = cell
    word.add_paragraph(NOTE)
    word.save(str(folder / "pasted.docx"))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that the commands are run on."""
    folder = tmp_path_factory.mktemp("sources")
    table().to_csv(folder / "panel.csv", index=False)
    table().to_excel(folder / "panel.xlsx", index=False)
    table().to_parquet(folder / "panel.parquet")
    table().to_stata(folder / "panel.dta", write_index=False)
    shutil.copy(MODELS / "partial_pooling.toml", folder / "mine.toml")
    (folder / "panel.nc").write_bytes(moments())
    (folder / "printed.csv").write_text("label,estimate,se,stars\na,0.10,0.05,**\nb,-.2,0.1,*\nc,0.3,0.2,\n")
    shutil.copytree(DATA / "published" / "cbec_circulation", folder / "tables")
    paste(folder)
    laws = table()
    exposure = ASKED[ASKED.index("--exposure") + 1]
    unit, time = (ASKED[ASKED.index(name) + 1] for name in ("--unit", "--time"))
    adopted = laws[time] >= laws[time].min() + 1 + pd.factorize(laws[unit])[0] % 4
    laws.assign(**{exposure: adopted.astype(int)}).to_csv(folder / "laws.csv", index=False)
    shutil.copy(DATA / "studies" / "public.toml", folder / "study.toml")
    asked = ["fit", "--data", str(folder / "panel.csv"), *ASKED, "--model", "partial_pooling", "--no-neighbours"]
    pooled = ["published", str(folder / "printed.csv"), "--out", str(folder / "pooled"), "-q"]
    for each in ([*asked, "--out", str(folder / "fit"), "-q"], ["compare", str(folder / "fit"), "-q"], pooled):
        with pytest.raises(SystemExit) as stopped:
            cli.main(each)
        assert not stopped.value.code
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
def test_commands_refuse_or_answer_every_mutant(command, server, sources, tmp_path):
    failed: dict[str, str] = {}
    for n in range(max(TIMES // 20, 4)):
        chance = random.Random(f"{SEED} {command} {n}")
        here = tmp_path / f"{n}"
        shutil.copytree(sources, here)
        if command in FILES and n % 2:
            name, mutate = FILES[command]
            mutate(here, name, chance)
            asked = list(COMMANDS[command])
        else:
            asked = mutated(command, chance)
        asked += [] if command in ("models", "studies", "moments") else ["--out", "out"]
        before = _content(here)
        if wrong := _wrong(server("program", here, PATIENCE, *asked), before, _content(here)):
            failed.setdefault(wrong, f"mutant {n}: {' '.join(asked)[:300]!r}")
        else:
            shutil.rmtree(here)
    assert not failed, "\n".join(f"{where}: {wrong}" for wrong, where in failed.items())


def _content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _wrong(ended: Ended, before: Mapping[str, bytes], after: Mapping[str, bytes]) -> str:
    """Say what is wrong with how a run of the program ended, or return a blank."""
    if ended.status not in (0, 1, 2):
        return f"exit status {ended.status}: {ended.err[-500:]}"
    if ended.status == 0 and ended.err:
        return f"a word on standard error: {ended.err[:300]!r}"
    if ended.status == 2 and (ended.err.count("\n") != 1 or not ended.err.startswith("error: ")):
        return f"not one line: {ended.err[:300]!r}"
    if ended.status == 2 and ended.out:
        return f"something was said before it was refused: {ended.out[:300]!r}"
    if ended.status == 2 and after != before:
        return f"something is left, or lost: {sorted(before.items() ^ after.items())[:3]!r}"
    if any(after.get(name) != held for name, held in before.items() if not name.startswith("out")):
        return "an input is changed"
    return _too_much(ended)


NUMBERS = ("1e-999999999", "1e999999999", "0e999999999", "9" * 30, "9" * 5_000, "0." + "0" * 5_000 + "1")
"""Numbers that stand for a billion digits, and some that have thousands."""


def numbers_of(command: str) -> list[str]:
    """Return a command's options that take a number."""
    known = typer.main.get_command(cli.app).commands[command].params  # type: ignore[attr-defined]
    return [
        one.opts[0] for one in known if one.type_descriptor.annotation in (int, float) and one.opts[0].startswith("--")
    ]


@pytest.mark.slow
@pytest.mark.parametrize("command", sorted(typer.main.get_command(cli.app).commands))  # type: ignore[attr-defined]
def test_options_of_a_billion_digits_are_refused_or_answered(command, server, sources, tmp_path):
    """Of a decimal number with such an exponent a library may write out the digits."""
    asked = COMMANDS.get(command, [command])
    for option in numbers_of(command):
        for number in NUMBERS:
            here = tmp_path / "here"
            shutil.copytree(sources, here)
            before = _content(here)
            given = [*asked, option, number, *([] if command == "moments" else ["--out", "out"])]
            ended = server("program", here, PATIENCE, *given)
            wrong = _wrong(ended, before, _content(here))
            assert not wrong, (option, number[:20], wrong)
            # A share may be nothing, and so may the number of units of a cell be more than there are.
            assert ended.status == 2 or option in ("--rope", "--ci", "--prior-scale", "--unit", "--min-units")
            shutil.rmtree(here)


@pytest.mark.parametrize(
    ("name", "asked", "said"),
    [
        ("read", ["nothing", 1, 0, 1], "exit status 99"),
        ("program", ["models", "--no-such-option"], ""),
        ("program", ["models"], ""),
    ],
)
def test_the_server_tells_how_a_child_ended(name, asked, said, server, tmp_path):
    ended = server(name, tmp_path, PATIENCE, *asked)
    assert _wrong(ended, {}, {}).startswith(said)
    assert bool(_wrong(ended, {}, {})) is bool(said)


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        ({}, ""),
        ({"status": 70}, "exit status 70"),
        ({"status": None}, "exit status None"),
        ({"status": -6}, "exit status -6"),
        ({"err": "Warning"}, "a word on standard error"),
        ({"status": 2, "err": "error: x\ny\n"}, "not one line"),
        ({"status": 2, "err": "x\n"}, "not one line"),
        ({"status": 2, "err": "error: x\n", "out": "x"}, "something was said"),
        ({"status": 2, "err": "error: x\n"}, "something is left"),
        ({"memory": MOST}, "2.00 GiB"),
        ({"left": True}, "a process is left"),
    ],
)
def test_a_fault_of_a_run_would_be_found(ended, said):
    plain = {"status": 0, "seconds": 1.0, "memory": 1, "left": False, "out": "", "err": ""}
    found = _wrong(Ended(**{**plain, **ended}), {"a": b"1"}, {"a": b"1", "out/b": b"1"})
    assert found.startswith(said)
    assert bool(found) is bool(said)
    assert _wrong(Ended(**plain), {"a": b"1"}, {"a": b"2"}) == "an input is changed"


def test_a_fault_of_a_reader_would_be_found():
    """The harness itself: what is neither read nor refused in a line is named."""
    assert refused_well(ValueError("x"))
    assert refused_well(InputError("two\nlines"))
    assert not refused_well(InputError("a line"))
