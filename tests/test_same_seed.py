"""The same seed gives the same bytes: in another process, with names hashed otherwise, and whoever does the work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.bad_inputs import COLUMNS, table

PROGRAM = "from cbec_bayes.commands.program import main; main()"
ROLES = [part for name, value in COLUMNS.items() for part in (f"--{name}", value)]
COMMANDS = {
    "fit": ["fit", "--data", "panel.csv", *ROLES, "--seed", "5"],
    "published": ["published", "printed.csv", "--seed", "5"],
    "replicate": ["replicate", "--study", "public", "--seed", "5"],
    "reconstruct": ["reconstruct", "--n", "1", "--seed", "5"],
    "events": ["events", "--study", "circulation", "--seed", "5"],
    "audit": ["audit"],
}
TIMED = {"diagnostics.json"}
"""Files that say how long it took."""


def start(folder: Path, *arguments: str, hashed: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONHASHSEED": str(hashed), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments], cwd=folder, env=environment)


def content(folder: Path) -> dict[str, bytes]:
    paths = (path for path in sorted(folder.rglob("*")) if path.suffix not in (".receipt", "") and path.is_file())
    return {path.name: path.read_bytes() for path in paths if path.name not in TIMED}


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_another_process_makes_the_same_bytes(command, tmp_path):
    table().to_csv(tmp_path / "panel.csv", index=False)
    (tmp_path / "printed.csv").write_text("label,estimate,se\na,0.1,0.2\nb,0.5,0.2\nc,0.4,0.1\n")
    made = [start(tmp_path, *COMMANDS[command], "--out", out, "-q", hashed=k) for k, out in enumerate(("one", "two"))]
    assert [one.wait(300) for one in made] == [0, 0]
    one, two = content(tmp_path / "one"), content(tmp_path / "two")
    assert list(one) == list(two) != []
    assert [name for name in one if one[name] != two[name]] == []
