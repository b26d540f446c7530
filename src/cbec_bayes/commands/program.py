"""The command line: thin, and quick to answer; the work is imported when a command runs."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from cbec_bayes.commands import calibration, fitting, lists, printed, specifications, studies
from cbec_bayes.commands.options import GivenOnce
from cbec_bayes.runtime.errors import CbecBayesError, InputError, StoppedError

COMMANDS = (
    studies.run,
    printed.audit,
    printed.published,
    fitting.fit,
    fitting.moments,
    fitting.check,
    fitting.compare,
    fitting.report,
    specifications.specifications,
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
) -> None:
    if version:
        from importlib.metadata import version as package_version

        typer.echo(package_version("cbec_bayes"))
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: list[str] | None = None) -> None:
    """Run the program: exit status 0 done, 1 a gate of ours failed, 2 bad input (one line, no traceback)."""
    try:
        status: Any = app(args=arguments, standalone_mode=False)
    except StoppedError as stopped:
        typer.echo(f"interrupted: nothing was left half-written; {stopped}", err=True)
        status = stopped.exit_status
    except CbecBayesError as error:
        typer.echo(f"error: {error}", err=True)
        status = error.exit_status
    except (KeyboardInterrupt, typer.Abort):
        status = StoppedError.exit_status
    except BrokenPipeError:  # whoever read the output has had enough of it
        sys.stdout = None  # or Python would try to flush it
        status = 0
    except OSError as error:  # a full disk, say, where a temporary file was
        place = f"{error.filename}: " if error.filename else ""
        typer.echo(f"error: {place}{error.strerror or ' '.join(str(error).split())}", err=True)
        status = InputError.exit_status
        try:
            sys.stdout.flush()
        except OSError:  # it was the output that found no room: Python would try again, and say so
            sys.stdout = None
    except MemoryError as error:
        typer.echo(f"error: not enough memory{f' ({error})' if str(error) else ''}", err=True)
        status = InputError.exit_status
    except Exception as error:
        # The usage errors of the command-line library: their class is private to it, their message is not.
        if not hasattr(error, "format_message"):
            raise
        typer.echo(f"error: {error.format_message()}", err=True)
        status = 2
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
