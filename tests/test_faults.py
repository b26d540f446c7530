"""Whatever ends a run, earlier results are intact, the same command goes on, and two runs do not mix.

Runs are killed in children of a process that has everything imported, so that dozens of them take seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cbec_bayes.commands import program as cli
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.folder import OutFolder
from cbec_bayes.runtime.journal import Journal
from cbec_bayes.runtime.staging import _MARK, LOCK, locked, write_files
from tests.support.bad_inputs import COLUMNS, table

OPTIONS = [part for name, value in COLUMNS.items() for part in (f"--{name}", value)]
OPTIONS += ["--model", "partial_pooling"]


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def untimed(found: dict[str, bytes]) -> dict[str, object]:
    """Return content without the seconds that it took."""
    diagnostics = json.loads(found["diagnostics.json"])
    rest = {
        name: held for name, held in found.items() if name not in ("diagnostics.json", ".fit.receipt", ".cbec_bayes")
    }
    return {**rest, "diagnostics": {key: held for key, held in diagnostics.items() if key != "seconds"}}


def driver(body: str, *arguments: str, **options) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", body, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        **options,
    )


KILLED_AT_EVERY_CALL = """
import os, sys
from pathlib import Path
from cbec_bayes.runtime.staging import Change, change, digest_of, write_files

folder, last = Path(sys.argv[1]), int(sys.argv[2])
for k in range(last):
    out = folder / str(k)
    (folder / f"elsewhere {k}").mkdir()
    out.mkdir()
    (out / "link").symlink_to(folder / f"elsewhere {k}")
    old = ("a.txt", "sub/b.txt", "link/e.txt", "gone/f.txt", "edited.txt")
    write_files(out, {name: f"old {name}" for name in old})
    new = ("a.txt", "sub/b.txt", "c.txt", "link/e.txt", "more/g.txt", "edited.txt")
    wanted = Change(
        files={name: f"new {name}" for name in new},
        removed={"gone/f.txt": digest_of(out / "gone/f.txt")},
        kept={"edited.txt": "edited.txt.edited"},
    )
    if os.fork() == 0:
        left = k

        def hook(event, arguments):
            global left
            if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir") and str(folder) in str(arguments[0]):
                if left == 0:
                    os._exit(9)
                left -= 1

        sys.addaudithook(hook)
        change(out, wanted)
        os._exit(0)
    print(k, os.waitstatus_to_exitcode(os.wait()[1]))
"""


def test_killed_at_every_call_all_files_are_old_or_all_are_new(tmp_path):
    lines = driver(KILLED_AT_EVERY_CALL, str(tmp_path), "60").stdout.splitlines()
    status = {int(k): int(code) for k, code in (line.split() for line in lines)}
    assert set(status.values()) == {0, 9}
    seen = set()
    for k, code in status.items():
        with locked(tmp_path / str(k)):
            pass
        found = {name: text.decode() for name, text in content(tmp_path / str(k)).items()}
        elsewhere = {f"link/{name}": text.decode() for name, text in content(tmp_path / f"elsewhere {k}").items()}
        assert len(elsewhere) == 1
        found |= elsewhere
        kept = found.pop("edited.txt.edited", None)
        which = {text.split()[0] for text in found.values()}
        assert len(which) == 1, (k, found)
        if which == {"new"}:
            assert kept == "old edited.txt"
            assert set(found) == {"a.txt", "sub/b.txt", "c.txt", "link/e.txt", "more/g.txt", "edited.txt"}
        else:
            assert kept is None
            assert set(found) == {"a.txt", "sub/b.txt", "link/e.txt", "gone/f.txt", "edited.txt"}
        assert (tmp_path / str(k) / "gone").exists() is (which == {"old"})
        assert (tmp_path / str(k) / "more").exists() is (which == {"new"})
        assert code == 9 or which == {"new"}
        seen.add((code, *which))
    assert seen == {(9, "old"), (9, "new"), (0, "new")}


KILLED_AT_RANDOM = """
import os, random, shutil, signal, sys, time
from pathlib import Path
import arviz, h5netcdf, pyfixest, xarray  # not used before the fork: their threads would not survive it
from cbec_bayes.commands import program as cli
from cbec_bayes.jobs import fit as _

folder, times, options = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]

def fit(out, seed):
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        try:
            cli.main(["fit", *options, "--seed", str(seed), "--out", str(out)])
        except SystemExit as stopped:
            os._exit(stopped.code or 0)
    return child

def ended(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

ended(fit(folder / "old", 1))
begun = time.perf_counter()
ended(fit(folder / "new", 2))
whole = time.perf_counter() - begun
chance = random.Random(4)
for k in range(times):
    out = folder / f"killed {k}"
    shutil.copytree(folder / "old", out)
    child = fit(out, 2)
    time.sleep(whole * chance.uniform(0.0, 1.05))
    os.kill(child, signal.SIGKILL)
    ended(child)
    shutil.copytree(out, folder / f"left {k}")
    print(k, ended(fit(out, 2)))
"""


@pytest.mark.slow
def test_killed_at_random_a_fit_leaves_the_earlier_one_and_goes_on(tmp_path):
    table().to_csv(tmp_path / "panel.csv", index=False)
    times = 5
    ran = driver(KILLED_AT_RANDOM, str(tmp_path), str(times), "--data", str(tmp_path / "panel.csv"), *OPTIONS)
    assert ran.stdout.split() == [part for k in range(times) for part in (str(k), "0")], ran.stderr
    old, new = content(tmp_path / "old"), untimed(content(tmp_path / "new"))
    assert old["effects.csv"] != new["effects.csv"]
    for k in range(times):
        with locked(tmp_path / f"left {k}"):
            pass
        left = content(tmp_path / f"left {k}")
        assert left == old or untimed(left) == new
        assert untimed(content(tmp_path / f"killed {k}")) == new


TOO_LARGE = """
import resource, sys
from cbec_bayes.commands import program as cli

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
cli.main(sys.argv[2:])
"""


@pytest.mark.parametrize("room", [300, 20_000])
def test_a_full_disk_is_said_in_a_line_and_leaves_what_there_was(tmp_path, room):
    """A limit on the size of files fails where a full disk would: in the middle of a file."""
    table().to_csv(tmp_path / "panel.csv", index=False)
    earlier = OutFolder(path=tmp_path / "out", commands=["fit"], names=["effects.csv"])
    earlier.write({"fit": {"effects.csv": "earlier"}})
    there = content(tmp_path / "out")
    asked = ["fit", "--data", str(tmp_path / "panel.csv"), *OPTIONS, "--out", str(tmp_path / "out")]
    ran = driver(TOO_LARGE, str(room), *asked)
    assert ran.returncode == 2, ran.stderr
    assert ran.stderr.startswith("error: ")
    assert ran.stderr.count("\n") == 1
    assert content(tmp_path / "out") == there


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_finds_no_room_is_said_in_a_line(unbuffered):
    with open("/dev/full", "w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "cbec_bayes", "models"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )
    assert ran.returncode == 2
    assert ran.stderr == "error: No space left on device\n"


def test_a_reader_that_goes_away_ends_it_quietly():
    ran = subprocess.run(f"{sys.executable} -m cbec_bayes models | true", shell=True, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_second_run_in_a_folder_is_told_of_the_first(tmp_path, capsys):
    table().to_csv(tmp_path / "panel.csv", index=False)
    out = tmp_path / "out"
    said = []

    def another():
        with pytest.raises(SystemExit) as stopped:
            cli.main(["fit", "--data", str(tmp_path / "panel.csv"), *OPTIONS, "--out", str(out)])
        said.append(stopped.value.code)

    with locked(out):
        there = threading.Thread(target=another)
        there.start()
        there.join()
        assert content(out) == {LOCK: b""}
    assert said == [2]
    assert "another run is at work in this folder" in capsys.readouterr().err
    assert not out.exists()


SIDE_BY_SIDE = """
import os, sys
from cbec_bayes.commands import program as cli

children = []
for seed in ("1", "2", "3"):
    if (child := os.fork()) == 0:
        try:
            cli.main([*sys.argv[1:], "--seed", seed])
        except SystemExit as stopped:
            os._exit(stopped.code or 0)
    children.append(child)
print(*[os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
"""


def test_runs_at_once_in_a_folder_do_not_mix(tmp_path):
    table().to_csv(tmp_path / "panel.csv", index=False)
    asked = ["fit", "--data", str(tmp_path / "panel.csv"), *OPTIONS, "-q"]
    ran = driver(SIDE_BY_SIDE, *asked, "--out", str(tmp_path / "out"))
    codes = [int(code) for code in ran.stdout.split()]
    assert sorted(set(codes)) in ([0], [0, 2]), ran.stderr
    found = content(tmp_path / "out")
    seed = json.loads(found["diagnostics.json"])["seed"]
    with pytest.raises(SystemExit):
        cli.main([*asked, "--seed", str(seed), "--out", str(tmp_path / "alone")])
    assert untimed(found) == untimed(content(tmp_path / "alone"))


def test_a_lock_is_had_again_within_and_gone_after(tmp_path):
    out = tmp_path / "deep" / "out"
    with locked(out), locked(out):
        write_files(out, {"a": "1"})
        assert (out / LOCK).exists()
    assert content(out) == {"a": b"1"}
    with pytest.raises(ValueError, match="x"), locked(tmp_path / "other" / "out"):
        raise ValueError("x")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    "index",
    [
        {"names": ["../stolen"]},
        {"names": ["/elsewhere/stolen"]},
        {"names": ["C:/stolen"]},
        {"names": [1]},
        {"removed": {"../precious": "x"}},
        {"removed": {"a": "x"}, "kept": {"a": "../stolen"}},
        {"kept": {"../precious": "stolen"}},
        {"made": ["../stolen"]},
        {"names": None},
        "not JSON",
    ],
)
def test_an_index_that_came_with_a_folder_of_others_leads_nowhere(tmp_path, index):
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "precious").write_text("precious")
    whole = {"names": [], "removed": {}, "kept": {}, "made": []}
    text = index if isinstance(index, str) else json.dumps({**whole, **index})
    (out / ".cbec_bayes-written-01234567").write_bytes(_MARK + text.encode())
    (out / ".cbec_bayes-writing-01234567-0").write_text("harm")
    with locked(out):
        pass
    assert content(tmp_path) == {"precious": b"precious", "out/.cbec_bayes-writing-01234567-0": b"harm"}


@pytest.mark.parametrize(
    "name",
    [
        ".lock",
        ".writing-thesis/a.tex",
        ".written-thesis/index",
        ".cbec_bayes-writing-thesis",
        ".cbec_bayes-written-x/a",
        ".cbec_bayes-writing-01234567",
    ],
)
def test_what_a_user_calls_like_files_of_ours_stays(tmp_path, name):
    """A file is taken for ours where its name and its beginning are."""
    own = tmp_path / name
    own.parent.mkdir(exist_ok=True)
    own.write_text("mine")
    write_files(tmp_path, {"a": "1"})
    with locked(tmp_path):
        pass
    assert content(tmp_path) == {name: b"mine", "a": b"1"}


def test_a_journal_goes_on_after_a_line_that_is_not_whole(tmp_path):
    journal = Journal(tmp_path / "j", "what")
    write = journal.open()
    for k in range(3):
        write(k, [k])
    journal.close()
    whole = journal.path.read_bytes()
    write = journal.open()
    write(3, [3])
    journal.close()
    line = journal.path.read_bytes().removeprefix(whole)
    for tail in (line[:5], line[:-1], line.replace(b"3]", b"4]"), b"\0\0\0\n" + line, b"[3]\n", b"\xff\n", b"7\n"):
        journal.path.write_bytes(whole + tail)
        assert journal.read() == {0: [0], 1: [1], 2: [2]}
        journal.open()(3, [3])
        journal.close()
        assert journal.path.read_bytes() == whole + line


def test_a_folder_in_the_place_of_a_file(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(
        InputError, match="a file cannot be written here, because a folder has this name; name another file"
    ):
        write_files(tmp_path, {"b": "1", "a": "2"})
    assert content(tmp_path) == {}
