"""The sets of golden/meta.json: estimates, variances, and what metafor makes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

_FILE = Path(__file__).parents[1] / "golden" / "meta.json"
SETS: dict[str, dict[str, Any]] = json.loads(_FILE.read_text(encoding="utf-8"))["sets"]


def data_of(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return estimates and variances of a set."""
    return np.array(SETS[name]["yi"]), np.array(SETS[name]["vi"])
