"""Options of the commands: which there are, and that those which mean the same are the same everywhere."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer
from typer.main import get_command

from cbec_bayes.commands.program import COMMANDS, app

RANDOM = {
    "run",
    "published",
    "fit",
    "check",
    "compare",
    "report",
    "calibrate",
    "replicate",
    "reconstruct",
    "specifications",
    "events",
}
"""Commands in which something is drawn; the others have no seed."""


def options() -> dict[str, set[str]]:
    """Return the options of every command."""
    commands = get_command(app).commands
    return {name: {flag for one in command.params for flag in one.opts} for name, command in commands.items()}


def test_only_commands_in_which_something_is_random_have_a_seed():
    found = options()
    assert {name for name, own in found.items() if "--seed" in own} == RANDOM
    assert found.keys() - RANDOM == {"audit", "moments", "models", "studies"}


@pytest.mark.parametrize("flag", ["--out", "--quiet", "--json"])
def test_every_command_has(flag):
    assert {name for name, own in options().items() if flag not in own} == set()


def test_options_of_one_name_are_told_in_the_same_words():
    """But for those that mean something else: a model or clusters of a panel or of printed slopes, moments, a seed."""
    told: dict[str, set[str | None]] = {}
    for command in get_command(app).commands.values():
        for one in command.params:
            for flag in one.opts:
                told.setdefault(flag, set()).add(getattr(one, "help", None))
    several = {flag for flag, words in told.items() if len(words) > 1}
    assert several <= {"--out", "--seed", "--engine", "--n", "--model", "--unit", "--cluster", *_arguments(told)}


def _arguments(told: dict[str, set[str | None]]) -> set[str]:
    return {flag for flag in told if flag[0] != "-"}


def test_what_shapes_the_tables_of_a_fit_is_asked_for_where_a_panel_is_named():
    """The commands that look at the folder of a fit find it there."""
    assert {name for name, own in options().items() if "--unit-slopes" in own} == {"fit"}
    for flag, more in (("--rope", set()), ("--prior-scale", {"events"}), ("--ci", {"events"})):
        assert {name for name, own in options().items() if flag in own} == {"fit", "specifications", *more}


def test_commands_are_listed_in_their_order():
    assert list(get_command(app).commands) == [command.__name__ for command in COMMANDS]
    assert isinstance(app, typer.Typer)


def test_the_seed_of_what_is_not_random_is_refused_in_one_line():
    for command in ("models", "studies", "audit"):
        ran = subprocess.run(
            [sys.executable, "-m", "cbec_bayes", command, "--seed", "1"], capture_output=True, text=True, check=False
        )
        assert ran.returncode == 2
        assert ran.stderr.startswith("error: No such option: --seed")
        assert ran.stderr.count("\n") == 1
