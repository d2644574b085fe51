"""A made-up table of Rubin's simulated visits, in the columns of an OpSim file."""

import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd

FIELDS = {"east": (40.0, -30.0), "west": (200.0, -20.0)}


def opsim(n: int = 240, seed: int = 1) -> pd.DataFrame:
    """Two fields visited by turns, dithered by less than a tenth of a degree; the western one has all odd rows."""
    rng = np.random.default_rng(seed)
    field = np.array([*FIELDS.values()])[np.arange(n) % 2]
    seeing = rng.uniform(0.7, 1.6, n)
    return pd.DataFrame(
        {
            "observationStartMJD": 61200.0 + np.sort(rng.uniform(0.0, 40.0, n)),
            "fieldRA": field[:, 0] + rng.uniform(-0.1, 0.1, n),
            "fieldDec": field[:, 1] + rng.uniform(-0.1, 0.1, n),
            "filter": np.array(["r_57", "g_6", "i_39"])[rng.integers(0, 3, n)],
            "band": "",
            "visitExposureTime": 30.0,
            "numExposures": 2,
            "airmass": rng.uniform(1.0, 1.6, n),
            "seeingFwhmEff": seeing,
            "seeingFwhmGeom": 0.822 * seeing + 0.052,
            "skyBrightness": rng.uniform(20.0, 22.0, n),
            "fiveSigmaDepth": rng.uniform(23.5, 25.0, n),
        }
    ).assign(band=lambda table: table["filter"].str[0])


def write(folder: Path, table: pd.DataFrame, name: str = "visits.db") -> Path:
    """The table as a file of the kind that its name says."""
    path = folder / name
    if name.endswith(".db"):
        with sqlite3.connect(path) as connection:
            table.to_sql("observations", connection, index=False)
        connection.close()
    elif name.endswith(".parquet"):
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False)
    return path
