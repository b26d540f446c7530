"""A pipe, a socket, a device, a folder or a file of terabytes where a file is named: refused, never waited for."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cbec_bayes.commands import program as cli
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.files import asset_dir, read_toml
from cbec_bayes.runtime.journal import Journal
from cbec_bayes.runtime.opening import file_digest, open_file, read_bytes, read_json
from cbec_bayes.runtime.staging import locked
from tests.support.bad_inputs import COLUMNS, table

ROLES = [part for name, value in COLUMNS.items() for part in (f"--{name}", value)]


@pytest.fixture(autouse=True)
def ended_if_it_waits() -> Iterator[None]:
    """End a test that waits for ever, which is what it is there to find."""

    def stop(*_: object) -> None:
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def pipe(path: Path) -> None:
    os.mkfifo(path)


def zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as opened:  # what is left of it is still a socket
        opened.bind(os.path.relpath(path))  # a whole path may be longer than a socket's can be


def folder(path: Path) -> None:
    path.mkdir()


def sparse(path: Path) -> None:
    """Make a file that takes no room on the disk and more than there is in memory."""
    with path.open("wb") as file:
        file.truncate(2**40)


def loop(path: Path) -> None:
    path.symlink_to(path.name)


KINDS = {
    pipe: "a pipe",
    zeros: "a device",
    listening: "a socket",
    folder: "this is a folder",
    sparse: "more than",
    loop: "cannot be read",
}


@pytest.mark.parametrize(("make", "said"), KINDS.items(), ids=lambda one: getattr(one, "__name__", ""))
def test_nothing_but_a_plain_file_is_opened(make, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "x")
    for read in (read_bytes, read_json, read_toml, file_digest):
        with pytest.raises(InputError, match=said):
            read(tmp_path / "x")
    assert Journal(tmp_path / "x", "what").read() == {}
    if make is not sparse:
        with pytest.raises(InputError, match=said), open_file(tmp_path / "x"):
            pass


def test_names_that_no_file_can_have(tmp_path):
    for name in ("a\0b", "x" * 5_000, "a/" * 3_000 + "b"):
        with pytest.raises(InputError, match=r"no such file|cannot be read|cannot contain the character NUL"):
            read_bytes(tmp_path / name)


NAMED: dict[str, tuple[str, list[str]]] = {
    **{
        f"panel{ending}": (f"p{ending}", ["fit", "--data", f"p{ending}", *ROLES])
        for ending in (".csv", ".parquet", ".xlsx", ".dta")
    },
    "moments": ("p.nc", ["fit", "--moments", "p.nc"]),
    "moments of Parquet": ("p.parquet", ["moments", "p.parquet", *ROLES, "--out", "m.nc"]),
    "moments of a folder": ("many/p.parquet", ["moments", "many", *ROLES, "--out", "m.nc"]),
    "moments of CSV": ("p.csv", ["moments", "p.csv", *ROLES, "--out", "m.nc"]),
    "printed estimates": ("p.csv", ["published", "p.csv"]),
    "model of printed estimates": ("p.toml", ["published", "printed.csv", "--model", "p.toml"]),
    "model": ("p.toml", ["fit", "--data", "panel.csv", *ROLES, "--model", "p.toml"]),
    "study": ("p.toml", ["replicate", "--study", "p.toml"]),
    "study of a run": ("p.toml", ["run", "--study", "p.toml"]),
    "tables": ("many/p.csv", ["audit", "--tables", "many"]),
    "facts": ("tables/paper.toml", ["audit", "--tables", "tables"]),
    "settings": ("many/fit.json", ["check", "many"]),
    "members": ("p.csv", ["specifications", "--data", "p.csv", *ROLES]),
}


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("place", NAMED)
def test_wherever_a_file_is_named(place, make, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    table().to_csv(tmp_path / "panel.csv", index=False)
    (tmp_path / "printed.csv").write_text("label,estimate,se\na,0.1,0.2\nb,0.3,0.2\n")
    shutil.copytree(asset_dir("data") / "published" / "cbec_circulation", tmp_path / "tables")
    (tmp_path / "many").mkdir()
    name, asked = NAMED[place]
    (tmp_path / name).unlink(missing_ok=True)
    make(tmp_path / name)
    with pytest.raises(SystemExit) as stopped:
        cli.main([*asked, *([] if "--out" in asked else ["--out", "result"])])
    heard = capsys.readouterr()
    assert stopped.value.code == 2, heard.out
    assert heard.err.startswith("error: ")
    assert heard.err.count("\n") == 1
    assert not (tmp_path / "result").exists()
    assert not (tmp_path / "m.nc").exists()


def replaced(path: Path, make: Callable[[Path], None]) -> None:
    path.unlink()
    make(path)


@pytest.mark.slow
@pytest.mark.usefixtures("few_specifications")
@pytest.mark.parametrize("make", [pipe, folder, sparse], ids=lambda make: make.__name__)
def test_in_the_place_of_what_a_command_left(make, tmp_path, monkeypatch):
    """What cannot be read there is no receipt, posterior or journal, and is made again."""
    monkeypatch.chdir(tmp_path)
    table().to_csv(tmp_path / "panel.csv", index=False)
    asked = ["fit", "--data", "panel.csv", *ROLES, "--model", "partial_pooling", "-q"]
    with pytest.raises(SystemExit):
        cli.main([*asked, "--out", "fit"])
    sound = (tmp_path / "fit" / "effects.csv").read_bytes()
    for name in (".fit.receipt", "posterior.nc", "diagnostics.json", "effects.csv"):
        replaced(tmp_path / "fit" / name, make)
        with pytest.raises(SystemExit) as stopped:
            cli.main(["compare", "fit", "-q", "--out", "compared"])
        assert not stopped.value.code
        if make is folder:
            (tmp_path / "fit" / name).rmdir()
        with pytest.raises(SystemExit) as stopped:
            cli.main([*asked, "--out", "fit"])
        assert not stopped.value.code
        assert (tmp_path / "fit" / "effects.csv").read_bytes() == sound
    staged = tmp_path / "fit" / ".cbec_bayes-written-01234567"
    make(staged)
    with locked(tmp_path / "fit"):
        pass
    assert os.path.lexists(staged)  # it is no index of ours, so that it is left alone
