"""Options that several commands share, declared once, and what the shell completes them with."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from cbec_bayes.runtime.cluster import Cluster
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import LARGEST_SEED

MOST_WORKERS = 1024
"""Processes of one machine that can be asked for."""

MOST_PIECES = 100_000
"""Panels of an ensemble, and replications, that can be asked for: each has a seed from the beginning."""


def check_arguments(given: Sequence[str]) -> None:
    """Raise `InputError` where an argument is blank, but for a list, or holds a NUL, which no name and no path has.

    A blank path would otherwise mean the folder that one is in.
    """
    for before, argument in pairwise(["", *given]):
        if "\0" in argument:
            raise InputError(
                f"an argument contains the character NUL, which no file or column name can have: {argument}"
            )
        option, equals, value = argument.partition("=")
        if argument and not (equals and option.startswith("--")):
            continue
        named = before if not argument and before.startswith("-") else option
        if not value and named != "--controls":
            raise InputError(f"{named or 'an argument'}: the value is blank; give a text")


LONGEST_HEADER = 2**20
"""Bytes of a panel's first line that are looked at while somebody types."""


def model_names() -> list[str]:
    """Return the names of the members of the family."""
    from cbec_bayes.bayes.model.family import panel_model_names

    return list(panel_model_names())


def study_names() -> list[str]:
    """Return the names of the studies."""
    from cbec_bayes.panel.study import study_names

    return list(study_names())


def convention_names() -> list[str]:
    """Return the names of the conventions of standard errors."""
    from cbec_bayes.classical.conventions import CONVENTIONS

    return list(CONVENTIONS)


def column_names(context: typer.Context) -> list[str]:
    """Return the columns of the panel named so far, but for panels that take long to read."""
    from csv import Error, reader

    from cbec_bayes.runtime.errors import InputError
    from cbec_bayes.runtime.opening import open_file

    try:
        with open_file(Path(context.params["data"])) as file:
            return next(reader([file.readline(LONGEST_HEADER).decode("utf-8-sig")]), [])
    except (KeyError, TypeError, ValueError, InputError, Error):
        return []


def seed_option(words: str) -> Any:
    """Return the option of a seed, with what it is the seed of."""
    return typer.Option("--seed", metavar="N", min=0, max=LARGEST_SEED, help=words)


def cluster(address: str | None, ca: Path | None, certificate: Path | None, key: Path | None) -> Cluster | None:
    """Return the Dask cluster that is asked for, if one is.

    Raises
    ------
    InputError
        Certificates are given for no cluster.
    """
    if address is not None:
        return Cluster(address, ca, certificate, key)
    if any(path is not None for path in (ca, certificate, key)):
        raise InputError(
            "--tls-ca, --tls-cert and --tls-key apply to a Dask scheduler only; give its address with --scheduler"
        )
    return None


class GivenOnce(TyperCommand):
    """A command that refuses an option which is given twice, instead of taking the last one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse arguments; an option that comes twice, and is not one of several, is an `InputError`."""
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        for one in order:
            if order.count(one) > 1 and one.param_type_name == "option" and not getattr(one, "multiple", False):
                raise InputError(f"{one.opts[0]} is given {order.count(one)} times; give it once")
        return super().parse_args(ctx, args)


def exposures(given: Sequence[str] | None) -> dict[str, Any]:
    """Return the first exposure, and those beside it, as `cbec_bayes.jobs.asked.asked_columns` takes them."""
    return {"exposure": given[0], "further": tuple(given[1:])} if given else {"exposure": None, "further": ()}


def names(text: str) -> list[str]:
    """Return the names in a text that are separated by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


_OUTCOME = typer.Option(
    "--outcome", metavar="COLUMN", help="The column that is explained.", autocompletion=column_names
)
_EXPOSURE = typer.Option(
    "--exposure",
    metavar="COLUMN",
    help="The regressor of interest; given again, another one whose slopes are pooled as well.",
    autocompletion=column_names,
)
_UNIT = typer.Option(
    "--unit",
    metavar="COLUMN",
    help="The column that names the unit: province, firm, person ...",
    autocompletion=column_names,
)
_TIME = typer.Option(
    "--time", metavar="COLUMN", help="Year, quarter, month, date or number of the period.", autocompletion=column_names
)

OutcomeIfAny = Annotated[str | None, _OUTCOME]
ExposureIfAny = Annotated[list[str] | None, _EXPOSURE]
UnitIfAny = Annotated[str | None, _UNIT]
TimeIfAny = Annotated[str | None, _TIME]
Controls = Annotated[str, typer.Option("--controls", metavar="A,B", help="Further regressors, separated by commas.")]
Control = Annotated[
    list[str] | None,
    typer.Option(
        "--control", metavar="COLUMN", help="One further regressor, whatever signs its name has; may be given again."
    ),
]
FormulaText = Annotated[
    str | None,
    typer.Option(
        "--formula",
        metavar="TEXT",
        help='In the place of columns, as "log(y) ~ x + log(z) + i(sector) | firm + year". The first regressor is the '
        "exposure, unless --exposure says which.",
    ),
]
Lags = Annotated[
    int,
    typer.Option(
        "--lags", metavar="N", help="Number of lags of the exposure that are regressors as well, over elapsed periods."
    ),
]
Leads = Annotated[
    int, typer.Option("--leads", metavar="N", help="Number of leads of the exposure that are regressors as well.")
]
Dates = Annotated[
    str | None,
    typer.Option(
        "--dates",
        metavar="ORDER",
        help="Order of dates such as 03/04/2014: day-first or month-first; default: what a day above 12 shows.",
    ),
]
SlopeOn = Annotated[
    list[str] | None,
    typer.Option(
        "--slope-on",
        metavar="COLUMN",
        help="Characteristic of groups, such as income, on which their slopes are regressed; may be given again.",
        autocompletion=column_names,
    ),
]
SlopeOnAt = Annotated[
    str | None,
    typer.Option(
        "--slope-on-at",
        metavar="WHAT",
        help="Value of a characteristic that varies within a group: mean takes the mean.",
    ),
]
Weights = Annotated[
    str | None,
    typer.Option("--weights", metavar="COLUMN", help="Weights of the rows.", autocompletion=column_names),
]
WeightsKind = Annotated[
    str,
    typer.Option(
        "--weights-kind",
        metavar="KIND",
        help="analytic: an error has the variance sigma^2 / w; frequency: a row stands for w equal ones.",
    ),
]
ClusteredBy = Annotated[
    str,
    typer.Option(
        "--cluster",
        metavar="A,B",
        help="What standard errors are clustered by, one column or two separated by a comma; default the units.",
    ),
]
Sheet = Annotated[
    str | None, typer.Option("--sheet", metavar="NAME", help="Sheet of an Excel file; default the first.")
]
Encoding = Annotated[
    str | None,
    typer.Option("--encoding", metavar="NAME", help="Encoding of a text file, such as latin-1; default utf-8."),
]
Decimal = Annotated[
    str | None,
    typer.Option("--decimal", metavar="SIGN", help="Sign before decimals of a text file; default what its cells show."),
]
Missing = Annotated[
    str, typer.Option("--missing", metavar="CODES", help="Codes of missing cells, separated by commas, such as -9,-99.")
]
Where = Annotated[
    str | None,
    typer.Option("--where", metavar="CONDITION", help='Rows to take, as "year >= 2000 and sector in (3, 4)".'),
]
Frequency = Annotated[
    str | None,
    typer.Option(
        "--frequency",
        metavar="NAME",
        help="How often a period comes: year, half, quarter, month, week, day, or number for numbers as they are; "
        "default what the cells say.",
    ),
]
GroupAt = Annotated[
    str | None,
    typer.Option("--group-at", metavar="WHEN", help="Group of a unit that changes it: the first or the last."),
]
OriginOfRows = Annotated[
    str | None,
    typer.Option(
        "--origin",
        metavar="WORD",
        help="Where the rows come from: observed, reconstructed or simulated; default what a column `origin` says, or "
        "observed.",
    ),
]
Collinearity = Annotated[
    str,
    typer.Option(
        "--collinearity",
        metavar="CHOICE",
        help="What happens to a control that others explain: refuse stops, drop leaves it out and says so.",
    ),
]
Group = Annotated[
    str | None,
    typer.Option(
        "--group", metavar="COLUMN", help="Groups of units whose slopes are pooled.", autocompletion=column_names
    ),
]
PanelFile = Annotated[
    Path | None,
    typer.Option("--data", metavar="FILE", help="The panel: .csv or .tsv (also .gz), .parquet, .xlsx or .dta."),
]
MomentsFile = Annotated[
    Path | None,
    typer.Option("--moments", metavar="FILE", help="File that `moments` wrote, to be fitted instead of a panel."),
]
Model = Annotated[
    str,
    typer.Option(
        "--model", metavar="NAME", help="A model's name (see `models`) or TOML file.", autocompletion=model_names
    ),
]
ModelIfAny = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="A model's name (see `models`) or TOML file; default: robust, with the terms that the panel allows.",
        autocompletion=model_names,
    ),
]
Engine = Annotated[str, typer.Option("--engine", metavar="NAME", help="auto, collapsed or pymc.")]
Convention = Annotated[
    str,
    typer.Option(
        "--convention",
        metavar="NAME",
        help="Convention of small-sample factors of the clustered standard errors.",
        autocompletion=convention_names,
    ),
]
Rope = Annotated[
    float | None,
    typer.Option(
        "--rope",
        metavar="X",
        help="Half-width of practically zero, in the outcome's unit per unit of the exposure. Default: a tenth of "
        "their standard deviations' ratio within units.",
    ),
]
PriorScale = Annotated[
    float,
    typer.Option(
        "--prior-scale",
        metavar="X",
        help="Factor of the priors of scales between groups and between units, and of what --slope-on asks for.",
    ),
]
Ci = Annotated[
    float,
    typer.Option(
        "--ci",
        metavar="P",
        help="Probability of the intervals in the fit's own tables; comparisons and checks have 95 % ones.",
    ),
]
Reduced = Annotated[
    bool,
    typer.Option("--reduced", help="Only the eight specifications that move slopes most, and the one with every term."),
]
Errors = Annotated[
    str,
    typer.Option(
        "--errors", metavar="KIND", help="Errors of the hierarchical event study: ar1 (within a unit) or independent."
    ),
]
UnitSlopes = Annotated[
    bool,
    typer.Option("--unit-slopes", help="Also write unit_slopes.csv: every unit's own slope, where the model has them."),
]
Neighbours = Annotated[
    bool,
    typer.Option("--neighbours/--no-neighbours", help="Say what the average slope is without each term of the model."),
]
_STUDY = typer.Option(
    "--study", metavar="NAME", help="One of `studies`, or a TOML file of one's own.", autocompletion=study_names
)
StudyName = Annotated[str, _STUDY]
StudyIfAny = Annotated[str | None, _STUDY]
FitFolder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of a fit: what `fit --out FOLDER` wrote.")]
FitFolderIfAny = Annotated[
    Path | None, typer.Argument(metavar="FOLDER", help="Folder of a fit: what `fit --out FOLDER` wrote.")
]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Folder to write to.")]
Seed = Annotated[int, seed_option("Seed of everything that is sampled.")]
FitSeed = Annotated[
    int | None,
    seed_option("Seed of everything random. Default: the fit's."),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", metavar="N", max=MOST_WORKERS, help="Processes that share the work. Default: one per processor."
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler", metavar="ADDRESS", help="Address of a Dask scheduler whose workers do the work instead."
    ),
]
TlsCa = Annotated[
    Path | None,
    typer.Option(
        "--tls-ca", metavar="FILE", help="Certificates (PEM) of the authority that signed those of a tls:// scheduler."
    ),
]
TlsCert = Annotated[
    Path | None, typer.Option("--tls-cert", metavar="FILE", help="One's own certificate, as PEM, for that scheduler.")
]
TlsKey = Annotated[
    Path | None, typer.Option("--tls-key", metavar="FILE", help="Its key, where that is not in the same file.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print the results as JSON, and nothing else.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Compute again, even if nothing has changed since.")]
