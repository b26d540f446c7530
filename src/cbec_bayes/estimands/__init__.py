"""Effects: the columns that every engine and every kind of data ends in, and estimands as pure functions of draws."""

from __future__ import annotations

from cbec_bayes.estimands.summary import (
    CONTRAST_COLUMNS,
    EFFECT_COLUMNS,
    SLOPE_ON_COLUMNS,
    UNIT_EFFECT_COLUMNS,
    Summary,
    effects_frame,
    leaves_zero_out,
    pooling_factor_overall,
    summarise_draws,
)

__all__ = [
    "CONTRAST_COLUMNS",
    "EFFECT_COLUMNS",
    "SLOPE_ON_COLUMNS",
    "UNIT_EFFECT_COLUMNS",
    "Summary",
    "effects_frame",
    "leaves_zero_out",
    "pooling_factor_overall",
    "summarise_draws",
]
