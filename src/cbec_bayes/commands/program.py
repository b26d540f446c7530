"""The command line: thin, and quick to answer; the work is imported when a command runs."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from cbec_bayes.commands import calibration, events, fitting, gathering, lists, pages, printed, specifications, studies
from cbec_bayes.commands.options import GivenOnce, check_arguments
from cbec_bayes.commands.terminal import (
    DEBUG,
    asks_for_tracebacks,
    complain,
    complain_of_ourselves,
    open_terminal,
    say,
    show_traceback,
)
from cbec_bayes.runtime.beside import allow_copies
from cbec_bayes.runtime.errors import CbecBayesError, InputError, StoppedError

COMMANDS = (
    studies.run,
    printed.audit,
    printed.published,
    fitting.fit,
    gathering.moments,
    fitting.check,
    fitting.compare,
    pages.report,
    specifications.specifications,
    events.events,
    calibration.calibrate,
    studies.replicate,
    studies.reconstruct,
    lists.models,
    lists.studies,
)
"""Every command, in the order in which `--help` lists them."""

app = typer.Typer(
    name="cbec-bayes",
    help="Bayesian hierarchical reanalysis of two-way fixed-effects panels, and of the tables they are published in.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for _command in COMMANDS:
    app.command(cls=GivenOnce)(_command)


@app.callback(invoke_without_command=True)
def _main(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", envvar=DEBUG, help="Print the traceback of an error, for a report.")
    ] = False,
) -> None:
    if version:
        from importlib.metadata import version as package_version

        say(package_version("cbec_bayes"))
        raise typer.Exit
    if context.invoked_subcommand is None:
        say(context.get_help())


AT_FAULT = 70
"""Exit status where the program itself is at fault: EX_SOFTWARE of sysexits.h."""


def main(arguments: list[str] | None = None) -> None:
    """Run the program and exit.

    The status is 0 where all is done, 1 where a gate of ours failed, 2 for bad input, 130 where it was interrupted, and
    `AT_FAULT` for what nobody foresaw. But for 0 there is one line on standard error, and a traceback only where
    ``--debug`` asks for one.
    """
    given = sys.argv[1:] if arguments is None else arguments
    debug = asks_for_tracebacks(given)
    open_terminal(debug=debug)
    if arguments is None:
        _take_one_thread()
        allow_copies()
        if not any(one.partition("=")[0] == "--scheduler" for one in given):
            _hide_dask()
    try:
        check_arguments(given)
        status: Any = app(args=given, standalone_mode=False)
    except BaseException as error:
        if isinstance(error, SystemExit | GeneratorExit):
            raise
        if debug:
            show_traceback()
        status = _status(error)
    sys.exit(status if isinstance(status, int) else 0)


def _take_one_thread() -> None:
    """Have linear algebra take one thread in a process of the program's own, unless the environment says how many.

    The matrices are small: threads take twice the processor's time for them, and change the last digits. NumPy's
    library asks once, when it is loaded.
    """
    if not any(f"{name}_NUM_THREADS" in os.environ for name in ("OMP", "OPENBLAS", "MKL")):
        os.environ |= {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def _hide_dask() -> None:
    """Have Dask look as if it was not installed, in a process of the program's own that asks for no cluster.

    xarray imports it wherever it is installed, and `distributed` with it when a file is written: about a tenth of the
    time of a fit of a few hundred rows, for arrays that no command has.
    """
    modules: dict[str, Any] = sys.modules
    modules.setdefault("dask", None)


def _status(error: BaseException) -> int:
    """Say in one line what ended the program, and return its exit status."""
    match error:
        case StoppedError():
            complain(f"interrupted: nothing was left half-written; {error}")
            return error.exit_status
        case CbecBayesError():
            complain(f"error: {error}")
            return error.exit_status
        case KeyboardInterrupt() | typer.Abort():
            return StoppedError.exit_status
        case BrokenPipeError():  # whoever read the output has had enough of it
            sys.stdout = None  # or Python would try to flush it
            return 0
        case OSError():  # a full disk, say, where a temporary file was
            place = f"{error.filename}: " if error.filename else ""
            complain(f"error: {place}{error.strerror or ' '.join(str(error).split())}")
            try:
                sys.stdout.flush()
            except OSError:  # it was the output that found no room: Python would try again, and say so
                sys.stdout = None
            return InputError.exit_status
        case MemoryError():
            complain(f"error: not enough memory{f' ({error})' if str(error) else ''}")
            return InputError.exit_status
    # The usage errors of the command-line library: their class is private to it, their message is not.
    if hasattr(error, "format_message"):
        complain(f"error: {error.format_message()}")
        return InputError.exit_status
    complain_of_ourselves(error)
    return AT_FAULT


if __name__ == "__main__":
    main()
