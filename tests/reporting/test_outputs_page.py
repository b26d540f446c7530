"""The page on outputs names every column of the files whose columns the program declares, in their order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cbec_bayes.checks.agreement import AGREEMENT_COLUMNS
from cbec_bayes.checks.cells import CELL_COLUMNS
from cbec_bayes.checks.comparison import COMPARISON_COLUMNS, GROUP_COLUMNS, ROW_COLUMNS
from cbec_bayes.checks.influence import INFLUENCE_COLUMNS
from cbec_bayes.checks.prior import PRIOR_COLUMNS
from cbec_bayes.checks.residuals import STATISTIC_COLUMNS
from cbec_bayes.checks.result import CHECK_COLUMNS
from cbec_bayes.checks.sensitivity import POWER_COLUMNS, SENSITIVITY_COLUMNS
from cbec_bayes.estimands.summary import CONTRAST_COLUMNS, UNIT_EFFECT_COLUMNS
from cbec_bayes.jobs.check import CHECK_FILES
from cbec_bayes.jobs.classical_pooling import REGRESSION_COLUMNS, SMALL_COLUMNS
from cbec_bayes.jobs.compare import COMPARE_COLUMNS, COMPARE_FILES
from cbec_bayes.jobs.differences import DIFFERENCE_COLUMNS
from cbec_bayes.jobs.event_tables import EVENT_COLUMNS, PRETREND_COLUMNS, WEIGHT_COLUMNS
from cbec_bayes.jobs.evidence import EVIDENCE_COLUMNS
from cbec_bayes.jobs.fit_tables import FILES
from cbec_bayes.jobs.specifications import FILES as SPECIFIED
from cbec_bayes.replication.tables import REPLICATION_COLUMNS
from cbec_bayes.specifications.conclusions import CONCLUSION_COLUMNS
from cbec_bayes.specifications.mixture import MIXTURE_COLUMNS
from cbec_bayes.specifications.tables import SPECIFICATION_COLUMNS

PAGE = (Path(__file__).parents[2] / "docs" / "outputs.md").read_text(encoding="utf-8")
COLUMNS = {
    "effects.csv": UNIT_EFFECT_COLUMNS,
    "contrasts.csv": CONTRAST_COLUMNS,
    "compare.csv": COMPARE_COLUMNS,
    "differences.csv": DIFFERENCE_COLUMNS,
    "checks.csv": CHECK_COLUMNS,
    "check_agreement.csv": AGREEMENT_COLUMNS,
    "check_predictive_cells.csv": CELL_COLUMNS,
    "check_predictive_residuals.csv": STATISTIC_COLUMNS,
    "check_prior_predictive.csv": PRIOR_COLUMNS,
    "check_between_group_prior.csv": SENSITIVITY_COLUMNS,
    "check_power_scaling.csv": POWER_COLUMNS,
    "check_leave_one_unit_out.csv": INFLUENCE_COLUMNS,
    "check_left_out_rows.csv": ROW_COLUMNS,
    "check_left_out_groups.csv": GROUP_COLUMNS,
    "check_model_comparison.csv": COMPARISON_COLUMNS,
    "specifications.csv": SPECIFICATION_COLUMNS,
    "mixture.csv": MIXTURE_COLUMNS,
    "conclusions.csv": CONCLUSION_COLUMNS,
    "events.csv": EVENT_COLUMNS,
    "pretrends.csv": PRETREND_COLUMNS,
    "weights.csv": WEIGHT_COLUMNS,
    "replication.csv": REPLICATION_COLUMNS,
    "evidence.csv": EVIDENCE_COLUMNS,
    "small_studies.csv": SMALL_COLUMNS,
    "classical_regression.csv": REGRESSION_COLUMNS,
}


ROWS = dict(re.findall(r"^\| `([\w.]+)` \| (`\w+`(?:, `\w+`)*) \|$", PAGE.partition("## Every column")[2], flags=re.M))


@pytest.mark.parametrize("name", COLUMNS)
def test_the_page_has_the_columns_of_a_file(name):
    assert tuple(re.findall(r"`(\w+)`", ROWS[name])) == tuple(COLUMNS[name])


@pytest.mark.parametrize("name", [*CHECK_FILES, *COMPARE_FILES, *FILES, *SPECIFIED])
def test_the_page_names_every_file(name):
    drawn = name.startswith("check_") and name.endswith(".svg")  # beside a table of the same name
    assert (name.replace(".svg", ".csv") if drawn else name) in PAGE
