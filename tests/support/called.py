"""The program called from a test, in its process: what it ends with, and what it says."""

from __future__ import annotations

import pytest

from cbec_bayes.commands import program


def status_of(*arguments: object) -> int:
    """Run the program with arguments and return its exit status."""
    with pytest.raises(SystemExit) as stopped:
        program.main([str(argument) for argument in arguments])
    return int(stopped.value.code or 0)


def heard(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run the program and return its exit status, standard output and standard error."""
    status = status_of(*arguments)
    said = capsys.readouterr()
    return status, said.out, said.err
