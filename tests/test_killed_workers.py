"""Commands that share their work out are killed: no process is left, and the same command succeeds afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cbec_bayes.commands import program as cli
from tests.support.bad_inputs import COLUMNS, table
from tests.support.processes import MARK, end_marked, marked, needs_proc, wait_for
from tests.support.studies import make_study

pytestmark = pytest.mark.nightly

ROLES = [part for name, value in COLUMNS.items() for part in (f"--{name}", value)]

COMMANDS = {
    "check": ["check", "fit", "--out", "out"],
    "calibrate": ["calibrate", "--n", "2", "--out", "out"],
    "reconstruct": ["reconstruct", "--n", "2", "--out", "out"],
    "run": ["run", "--study", "study", "--ensemble", "12", "--out", "out"],
}

PROGRAM = """
import sys
from functools import partial
from cbec_bayes.commands import program as cli
from cbec_bayes.calibration.plan import Plan
from cbec_bayes.jobs import calibrate, run
from cbec_bayes.runtime.journal import Journal

# One member, a few times, and of a study its printed tables and an ensemble of that: what is tried here is how it ends.
calibrate.plan = lambda n, outcomes=None: Plan((("partial_pooling", "partial_pooling", n),), 1, 1)
calibrate.Calibrated.require = lambda self: None
run.together = lambda study: ()
run.ensemble_job = partial(run.ensemble_job, model="partial_pooling")
read = Journal.read

def told(self):
    found = read(self)
    print("kept", len(found), file=sys.stderr, flush=True)
    return found

Journal.read = told
cli.main(sys.argv[1:])
"""


def started(asked: list[str], here: Path, mark: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *asked, "--workers", "2", "-q"],
        cwd=here,
        env={**os.environ, MARK: mark, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
    )


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fitted")
    table().to_csv(folder / "panel.csv", index=False)
    asked = ["fit", "--data", str(folder / "panel.csv"), *ROLES, "--model", "partial_pooling", "--no-neighbours"]
    with pytest.raises(SystemExit):
        cli.main([*asked, "--out", str(folder / "fit"), "-q"])
    (folder / "study").mkdir()
    make_study(folder / "study")
    return folder


def n_kept(out: Path) -> int:
    """Return how many results are in the journals of a folder."""
    return sum(max(path.read_bytes().count(b"\n") - 1, 0) for path in out.glob("unfinished*"))


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM], ids=lambda by: by.name)
@pytest.mark.parametrize("command", COMMANDS)
def test_no_process_is_left_and_the_rerun_succeeds(command, by, fitted, tmp_path):
    places = {"fit": str(fitted / "fit"), "study": str(fitted / "study" / "study.toml")}
    asked = [places.get(part, part) for part in COMMANDS[command]]
    mark = str(tmp_path)
    try:
        run = started(asked, tmp_path, mark)
        # The program, Python's tracker of resources, and two workers; they are killed at work or while they begin, and
        # those of `run` once something is kept.
        least = 1 if command == "run" else 0

        def at_work() -> bool:
            return len(marked(mark)) >= 4 and n_kept(tmp_path / "out") >= least

        assert wait_for(lambda: at_work() or run.poll() is not None, 300)
        assert run.poll() is None, run.stderr.read()
        run.send_signal(by)
        assert run.wait(60) == -by
        run.stderr.close()
        assert wait_for(lambda: not marked(mark), 30), "processes outlive the program"
        if by == signal.SIGTERM:
            return  # what is left in the folder is the same
        kept = n_kept(tmp_path / "out")
        again = started(asked, tmp_path, mark)
        said = again.communicate(timeout=600)[1]
        assert again.returncode == 0, said
        if command == "run":
            assert 1 <= kept < 12
            assert f"kept {kept}" in said.decode()
        assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith((".writ", "unfinished"))]
        assert wait_for(lambda: not marked(mark), 30)
    finally:
        end_marked(mark)
