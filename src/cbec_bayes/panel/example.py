"""A small simulated panel, so that every example of the documentation can be tried without a file."""

from __future__ import annotations

import numpy as np
import pandas as pd

SECTORS = {"food": 5, "metal": 4, "paper": 3}
"""Number of firms in each sector."""

SLOPES = {"food": 0.4, "metal": 0.9, "paper": 1.4}
"""Slope of the price in each sector, that is to say the truth which an estimate should find."""

OPENNESS = {"food": 0.2, "metal": 0.5, "paper": 0.7}
"""A characteristic of each sector, which its slope rises with."""

YEARS = range(2011, 2019)

ADOPTION = (2013, 2014, 2015, 2016)
"""Years in which firms come under the law, one after the other; every fifth firm never does."""

EFFECT = 0.5
"""What the law adds to sales, in the year of its adoption and in every later one."""


def example_frame() -> pd.DataFrame:
    """Return a simulated panel of 12 firms in three sectors, from 2011 to 2018.

    Returns
    -------
    pandas.DataFrame
        A row for each firm and year, with the columns ``firm``, ``sector``, ``year``, ``sales`` (the outcome),
        ``price`` (an exposure whose slope is 0.4 in food, 0.9 in metal and 1.4 in paper), ``wage`` (a control),
        ``law`` (one from the year in which a firm comes under the law, which adds 0.5 to its sales), ``openness`` (a
        characteristic of the sector) and ``workers`` (a weight). The numbers are the same at every call.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> frame.shape
    (96, 9)
    >>> list(frame.columns)
    ['firm', 'sector', 'year', 'sales', 'price', 'wage', 'law', 'openness', 'workers']
    """
    rng = np.random.default_rng(20)
    sectors = np.repeat(list(SECTORS), list(SECTORS.values()))
    n_units, n_times = len(sectors), len(YEARS)
    adopted = np.resize(np.array([*ADOPTION, max(YEARS) + 1]), n_units)
    years = np.array(YEARS)
    price, wage = rng.normal(size=(2, n_units, n_times))
    law = (years >= adopted[:, None]).astype(int)
    slope = np.array([SLOPES[sector] for sector in sectors])[:, None]
    levels = rng.normal(size=(n_units, 1)) + rng.normal(size=(1, n_times))
    noise = rng.normal(scale=0.5, size=(n_units, n_times))
    sales = levels + slope * price + 0.3 * wage + EFFECT * law + noise
    return pd.DataFrame(
        {
            "firm": np.repeat([f"firm {i:02d}" for i in range(1, n_units + 1)], n_times),
            "sector": np.repeat(sectors, n_times),
            "year": np.tile(years, n_units),
            "sales": sales.ravel().round(4),
            "price": price.ravel().round(4),
            "wage": wage.ravel().round(4),
            "law": law.ravel(),
            "openness": np.repeat([OPENNESS[sector] for sector in sectors], n_times),
            "workers": np.repeat(rng.integers(10, 200, size=n_units), n_times),
        }
    )
