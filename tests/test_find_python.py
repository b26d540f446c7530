"""The interpreter finder of `make setup`: what it prints works, and where there is none it says what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / ".ci" / "find-python"


def find(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["/bin/sh", str(SCRIPT)], env=environment, capture_output=True, text=True, check=False)


def test_a_named_interpreter_is_taken_or_refused():
    assert find(PATH=os.defpath, PYTHON=sys.executable).stdout.strip() == sys.executable
    refused = find(PATH=os.defpath, PYTHON="/bin/false")
    assert refused.returncode == 1
    assert "PYTHON=/bin/false is not a Python 3.12-3.14" in refused.stderr


def test_pyenv_versions_are_found_and_nothing_is_said_clearly(tmp_path):
    (tmp_path / "bin").mkdir()
    for tool in ("sh", "cat"):
        (tmp_path / "bin" / tool).symlink_to(f"/bin/{tool}")
    bare = {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path)}
    none = find(**bare)
    assert none.returncode == 1
    assert none.stdout == ""
    assert "pyenv install 3.13" in none.stderr
    python = tmp_path / ".pyenv" / "versions" / "3.13.9" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    assert find(**bare).stdout.strip() == str(python)
