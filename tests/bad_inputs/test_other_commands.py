"""The commands beside `fit`: what they read may be damaged, missing, or something else, and is refused in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.commands import program as cli
from tests.support.arguments import once
from tests.support.bad_inputs import COLUMNS, table
from tests.support.called import heard as program

ROLES = [part for name, value in COLUMNS.items() for part in (f"--{name}", value)]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A panel, a fit's folder, moments, and a published table."""
    folder = tmp_path_factory.mktemp("results")
    table().to_csv(folder / "panel.csv", index=False)
    table().to_parquet(folder / "panel.parquet")
    printed = pd.DataFrame({"label": ["east", "central", "west"], "estimate": [0.3, 0.2, 0.6], "se": [0.1, 0.2, 0.1]})
    printed.to_csv(folder / "printed.csv", index=False)
    for asked in (
        [
            "fit",
            "--data",
            folder / "panel.csv",
            *ROLES,
            "--model",
            "partial_pooling",
            "--out",
            folder / "fit",
            "--quiet",
        ],
        ["moments", folder / "panel.csv", *ROLES, "--out", folder / "panel.nc", "--quiet"],
    ):
        with pytest.raises(SystemExit) as stopped:
            cli.main([str(part) for part in asked])
        assert not stopped.value.code
    return folder


@pytest.fixture
def copied(results, tmp_path, monkeypatch):
    """The same in a folder that the test may damage; the fit still reads the panel where it was fitted."""
    shutil.copytree(results, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr("cbec_bayes.runtime.fanout.PATIENCE", "1s")
    return tmp_path / "here"


def replaced(name: str, content: bytes | str) -> Callable[[Path], None]:
    return lambda here: (here / name).write_bytes(content.encode() if isinstance(content, str) else content)


def shortened(name: str, share: float) -> Callable[[Path], None]:
    def change(here: Path) -> None:
        held = (here / name).read_bytes()
        (here / name).write_bytes(held[: int(share * len(held))])

    return change


def flipped(name: str, seed: int, n: int = 40) -> Callable[[Path], None]:
    """Return what overwrites a few bytes anywhere."""

    def change(here: Path) -> None:
        held = bytearray((here / name).read_bytes())
        for k in np.random.default_rng(seed).integers(len(held), size=n):
            held[k] ^= 0xFF
        (here / name).write_bytes(held)

    return change


def removed(name: str) -> Callable[[Path], None]:
    return lambda here: (here / name).unlink()


def into_folder(name: str) -> Callable[[Path], None]:
    def change(here: Path) -> None:
        (here / name).unlink(missing_ok=True)
        (here / name).mkdir()

    return change


def setting(name: str, value: object) -> Callable[[Path], None]:
    """Return what changes one entry of the fit's settings."""

    def change(here: Path) -> None:
        path = here / "fit" / "fit.json"
        held = json.loads(path.read_text())
        path.write_text(json.dumps({**held, name: value}))

    return change


def labelled(column: str, label: str) -> Callable[[Path], None]:
    """Return what gives all rows of a group a label, in a column of strings as other programs write it."""
    return lambda here: (
        table()
        .assign(**{column: [label, *table()[column][1:]]})
        .astype({column: "str"})
        .to_parquet(here / "panel.parquet")
    )


def nothing(here: Path) -> None:
    """Change nothing."""


JUNK = bytes(np.random.default_rng(1).integers(256, size=5_000, dtype=np.uint8))
FIT_MOMENTS = ["fit", "--moments", "panel.nc"]
MOMENTS = ["moments", "panel.parquet", *ROLES, "--out", "new.nc"]
JUNK_TLS = ["--tls-ca", "panel.csv", "--tls-cert", "panel.csv"]
CHECK = ["check", "fit", "--scheduler"]
PRINTED = ["published", "printed.csv"]

REFUSED: list[tuple[str, Callable[[Path], None], list[str], str]] = [
    ("moments empty", replaced("panel.nc", b""), FIT_MOMENTS, "panel.nc: "),
    ("moments junk", replaced("panel.nc", JUNK), FIT_MOMENTS, "panel.nc: "),
    ("moments text", replaced("panel.nc", "label,estimate\n"), FIT_MOMENTS, "panel.nc: "),
    ("moments half", shortened("panel.nc", 0.5), FIT_MOMENTS, "panel.nc: "),
    ("moments nearly whole", shortened("panel.nc", 0.98), FIT_MOMENTS, "panel.nc: "),
    ("moments folder", into_folder("panel.nc"), FIT_MOMENTS, "a folder"),
    ("moments absent", removed("panel.nc"), FIT_MOMENTS, "no such file"),
    ("moments a posterior", nothing, ["fit", "--moments", "fit/posterior.nc"], "fit/posterior.nc: "),
    ("moments and a panel", nothing, [*FIT_MOMENTS, "--data", "panel.csv"], "--data"),
    ("moments of nothing", nothing, ["moments", "none", *ROLES, "--out", "new.nc"], "no such file"),
    ("moments of no kind", nothing, ["moments", "fit/fit.json", *ROLES, "--out", "new.nc"], "unknown kind"),
    ("moments of half", shortened("panel.parquet", 0.5), MOMENTS, "panel.parquet: "),
    ("moments of junk", replaced("panel.parquet", JUNK), MOMENTS, "panel.parquet: "),
    ("moments of nothing at all", replaced("panel.parquet", b""), MOMENTS, "panel.parquet: "),
    ("moments over panel", nothing, [*MOMENTS[:-1], "panel.parquet"], "would replace its own input"),
    ("moments over a folder", nothing, [*MOMENTS[:-1], "fit"], "fit: "),
    ("moments below a file", nothing, [*MOMENTS[:-1], "panel.csv/new.nc"], "panel.csv"),
    ("moments beyond reach", nothing, [*MOMENTS[:-1], "/proc/new.nc"], "cannot be written"),
    ("moments of (all)", labelled("region", "(all)"), MOMENTS, "'(all)' cannot name a group"),
    ("moments of escapes", labelled("city", "\x1b[31mred"), MOMENTS, "U+001B"),
    ("moments too few", nothing, [*MOMENTS, "--min-units", "5"], "--disclose"),
    ("moments of a column that is not there", nothing, [*MOMENTS, "--controls", "xx"], "'xx'"),
    ("moments of one column twice", nothing, [*MOMENTS, "--controls", "d"], "d"),
    ("printed absent", removed("printed.csv"), PRINTED, "no such file"),
    ("printed empty", replaced("printed.csv", ""), PRINTED, "printed.csv"),
    ("printed header only", replaced("printed.csv", "label,estimate,se\n"), PRINTED, "printed.csv"),
    ("printed junk", replaced("printed.csv", JUNK), PRINTED, "UTF-8"),
    ("printed words", replaced("printed.csv", "label,estimate,se\na,1,1\nb,x,1\n"), PRINTED, "'x'"),
    ("printed se zero", replaced("printed.csv", "label,estimate,se\na,1,1\nb,2,0\n"), PRINTED, "se"),
    ("printed se negative", replaced("printed.csv", "label,estimate,se\na,1,1\nb,2,-1\n"), PRINTED, "se"),
    ("printed nan", replaced("printed.csv", "label,estimate,se\na,1,1\nb,nan,1\n"), PRINTED, "printed.csv"),
    ("printed inf", replaced("printed.csv", "label,estimate,se\na,1,1\nb,inf,1\n"), PRINTED, "printed.csv"),
    ("printed twice", replaced("printed.csv", "label,estimate,se\na,1,1\na,2,1\n"), PRINTED, "'a'"),
    ("printed without se", replaced("printed.csv", "label,estimate\na,1\nb,2\n"), PRINTED, "'se'"),
    ("printed escape", replaced("printed.csv", "label,estimate,se\n\x1b[31ma,1,1\nb,2,1\n"), PRINTED, "U+001B"),
    ("printed all", replaced("printed.csv", "label,estimate,se\n(all),1,1\nb,2,1\n"), PRINTED, "'(all)' cannot"),
    (
        "printed zero of 1e-9",
        replaced("printed.csv", "label,estimate,se\na,0e-999999999,1\nb,1,1\n"),
        PRINTED,
        "1e-100",
    ),
    ("printed exponent", replaced("printed.csv", f"label,estimate,se\na,1e{'9' * 30},1\nb,1,1\n"), PRINTED, "1e100"),
    (
        "printed tiny df",
        replaced("printed.csv", "label,estimate,se,stars,df\na,1,,**,1e-50\nb,1,1,*,3\n"),
        PRINTED,
        "df",
    ),
    (
        "printed count",
        replaced("printed.csv", f"label,estimate,se,n_obs\na,1,1,{'9' * 5000}\n"),
        PRINTED,
        "5000 digits",
    ),
    ("printed unit", nothing, [*PRINTED, "--unit", "1e300"], "too large or too small to compute"),
    ("printed unit of nothing", nothing, [*PRINTED, "--unit", "0"], "--unit"),
    ("printed out of nothing", nothing, [*PRINTED, "--out", ""], "--out: the value is blank"),
    ("printed out of nothing, again", nothing, [*PRINTED, "--out="], "--out: the value is blank"),
    ("printed model", nothing, [*PRINTED, "--model", "eight"], "'eight'"),
    ("fit folder absent", nothing, ["check", "none"], "none"),
    ("fit folder a file", nothing, ["compare", "panel.csv"], "panel.csv"),
    ("fit folder of something else", nothing, ["report", "."], "fit.json"),
    ("settings junk", replaced("fit/fit.json", JUNK), ["compare", "fit"], "fit.json"),
    ("settings empty", replaced("fit/fit.json", ""), ["compare", "fit"], "fit.json"),
    ("settings a list", replaced("fit/fit.json", "[]"), ["compare", "fit"], "fit.json"),
    ("settings half", shortened("fit/fit.json", 0.5), ["check", "fit"], "fit.json"),
    ("settings a number", setting("outcome", 3), ["compare", "fit"], "fit.json"),
    ("settings another hash", setting("sha256", "0" * 64), ["compare", "fit"], "changed"),
    ("settings no panel", setting("data", "/nowhere/panel.csv"), ["compare", "fit"], "no longer there"),
    ("settings no model", setting("model", "eight"), ["compare", "fit"], "'eight'"),
    ("settings a seed of text", setting("seed", "one"), ["compare", "fit"], "fit.json"),
    ("settings a seed below zero", setting("seed", -1), ["compare", "fit"], "fit.json"),
    (
        "settings lists within lists",
        replaced("fit/fit.json", "[" * 100_000 + "]" * 100_000),
        ["compare", "fit"],
        "fit.json",
    ),
    ("settings a path with a NUL", setting("data", "a\0b"), ["compare", "fit"], "no longer there"),
    ("settings a seed of 128 bits", setting("seed", 2**128), ["compare", "fit"], "fit.json"),
    ("settings that were edited", setting("outcome", "y\x1b[2J"), ["compare", "fit"], "another fit is in this folder"),
    ("study absent", nothing, ["run", "--study", "papers"], "'papers'"),
    ("study a folder", nothing, ["replicate", "--study", "fit"], "fit"),
    ("audit absent", nothing, ["audit", "none"], "none"),
    ("audit of one file", nothing, ["audit", "panel.csv"], "panel.csv"),
    ("audit of something else", nothing, ["audit", "fit"], "fit"),
    ("no cluster there", nothing, ["check", "fit", "--scheduler", "tcp://127.0.0.1:9"], "127.0.0.1:9"),
    ("no address", nothing, ["check", "fit", "--scheduler", "nonsense"], "nonsense"),
    ("a secured cluster without certificates", nothing, [*CHECK, "tls://127.0.0.1:9"], "needs certificates"),
    ("no such certificate", nothing, [*CHECK, "tls://127.0.0.1:9", "--tls-cert", "none.pem"], "no such file"),
    ("no certificate", nothing, [*CHECK, "tls://127.0.0.1:9", *JUNK_TLS], "cannot be used"),
    ("certificates of an open cluster", nothing, [*CHECK, "tcp://127.0.0.1:9", "--tls-ca", "a.pem"], "tls:// address"),
    ("certificates of no cluster", nothing, ["check", "fit", "--tls-key", "a.pem"], "--scheduler"),
    ("no kind of cluster", nothing, [*CHECK, "smoke://127.0.0.1:9"], "smoke"),
    ("workers beyond count", nothing, ["check", "fit", "--workers", "9" * 20], "--workers"),
    ("workers below one", nothing, ["check", "fit", "--workers", "0"], "at least one worker"),
    ("seed below zero", nothing, ["check", "fit", "--seed", "-1"], "--seed"),
    ("seed of text", nothing, ["check", "fit", "--seed", "one"], "--seed"),
]


@pytest.mark.parametrize(("change", "asked", "said"), [one[1:] for one in REFUSED], ids=[one[0] for one in REFUSED])
def test_bad_input_of_each_command_is_refused_in_one_line(change, asked, said, copied, capsys):
    change(copied)
    before = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}
    status, out, err = program(capsys, *once(asked))
    assert status == 2, out + err
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert said in err
    assert {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("seed", range(8))
def test_moments_with_a_few_bytes_changed_are_refused(seed, copied, capsys):
    """The seal finds it before HDF5 reads on, which on damaged files may not end (seen with a single byte)."""
    flipped("panel.nc", seed, n=1 + 39 * (seed % 2))(copied)
    status, _, err = program(capsys, *FIT_MOMENTS)
    assert status == 2
    assert err.startswith("error: panel.nc: ")
    assert err.count("\n") == 1


DAMAGES: dict[str, Callable[[Path], None]] = {
    "nothing is damaged": nothing,
    "posterior junk": replaced("fit/posterior.nc", JUNK),
    "posterior empty": replaced("fit/posterior.nc", b""),
    "posterior half": shortened("fit/posterior.nc", 0.6),
    "posterior flipped": flipped("fit/posterior.nc", 1),
    "posterior absent": removed("fit/posterior.nc"),
    "diagnostics": replaced("fit/diagnostics.json", "{"),
    "receipt junk": replaced("fit/.fit.receipt", JUNK),
    "receipt absent": removed("fit/.fit.receipt"),
}


@pytest.mark.usefixtures("few_specifications")
def test_a_posterior_that_is_not_the_one_written_is_fitted_again(results, tmp_path, monkeypatch, capsys):
    found = {}
    for name, change in DAMAGES.items():
        here = tmp_path / name
        shutil.copytree(results, here)
        monkeypatch.chdir(here)
        change(here)
        status, out, err = program(capsys, "compare", "fit", "--out", "compared")
        assert status == 0, (name, err)
        found[name] = (out, (here / "compared" / "compare.csv").read_bytes())
    sound = found["nothing is damaged"]
    for name, one in found.items():
        assert one == sound, name


def test_a_published_table_is_not_overwritten_by_what_is_made_of_it(copied, capsys):
    held = (copied / "printed.csv").read_bytes()
    (copied / "effects.csv").write_bytes(held)
    status, _, err = program(capsys, "published", "effects.csv", "--out", ".")
    assert status == 2
    assert "would replace its own input" in err
    assert (copied / "effects.csv").read_bytes() == held
