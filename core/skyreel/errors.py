"""One family of typed errors: each says what was asked, what was found and what to do.

All of them survive pickling, so that worker processes and launchers can hand them back whole.
"""

from __future__ import annotations


class SkyreelError(Exception):
    """Base of every error skyreel raises on purpose.

    Parameters
    ----------
    asked : str
        What was asked for, or which input was being read.
    found : str
        What was found instead.
    remedy : str
        What the user can do about it.
    """

    def __init__(self, asked: str, found: str = "", remedy: str = "") -> None:
        super().__init__(asked, found, remedy)
        self.asked = asked
        self.found = found
        self.remedy = remedy

    def __str__(self) -> str:
        text = self.asked
        if self.found:
            text += f": {self.found}"
        if self.remedy:
            text += f"; {self.remedy}"
        return text


class PluginError(SkyreelError):
    """A plugin broke its contract or is unknown; the message names plugin, value and remedy."""


class ConfigError(SkyreelError, ValueError):
    """An option is unknown, of the wrong type or out of range."""


class DataError(SkyreelError, ValueError):
    """Arrays handed in have the wrong shape, order or values (NaN, unsorted MJD, empty sequence)."""


class BandError(DataError):
    """A band that a source, survey or trained model does not know."""


class MovieFileError(SkyreelError, OSError):
    """A movie file is missing, truncated, foreign or of another schema version."""


class ModelError(SkyreelError):
    """A model folder is missing, damaged or of another version."""


class OutputError(SkyreelError, OSError):
    """The output folder cannot be written: read-only, full, or already holds something else."""


class SimulationError(SkyreelError, RuntimeError):
    """The simulation cannot deliver what was asked (for example no proposal is ever detected)."""


class DatasetError(SkyreelError, LookupError):
    """A named data set is unknown or its files are absent or damaged."""


class Interrupted(SkyreelError):
    """The user stopped a run; what was finished is kept and can be resumed."""
