"""Small coefficient tables of the source models and the scripts that build them from published data."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@cache
def load(name: str) -> dict[str, NDArray[np.float64]]:
    """One table by file name, as arrays by column name.

    Parameters
    ----------
    name : str
        File in this folder, ``.npz`` (read without pickle) or ``.json`` (numbers and lists; texts are left out).

    Returns
    -------
    dict of float64 arrays
        Units are told by the script that builds the table. Shared between callers: do not write into them.
    """
    import numpy as np

    resource = files(__name__).joinpath(name)
    if name.endswith(".json"):
        content: dict[str, Any] = json.loads(resource.read_text(encoding="utf-8"))
        columns = {key: value for key, value in content.items() if not isinstance(value, str)}
    else:
        with resource.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            columns = {key: archive[key] for key in archive.files}
    table = {key: np.asarray(value, np.float64) for key, value in columns.items()}
    for column in table.values():
        column.setflags(write=False)
    return table
