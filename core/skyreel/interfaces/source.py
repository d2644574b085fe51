"""Classes of object: light curves and where their galaxies lie."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from skyreel.errors import ConfigError
from skyreel.interfaces.vocabulary import Array, Params

OffsetLaw = Literal["light", "chance", "centre"]


@dataclass(frozen=True)
class HostPolicy:
    """How often, where and at which redshift a class of source sits on a galaxy.

    Attributes
    ----------
    fraction : float
        Share of objects with a galaxy in the stamp.
    redshift : str or None
        Column of the source's params that fixes the host's redshift; None draws hosts of any redshift.
    offset : 'light', 'chance' or 'centre'
        Source position: drawn from the galaxy's exponential light, uniform over the stamp, or at the galaxy's centre.

    Raises
    ------
    ConfigError
        For a fraction outside 0..1 or an unknown offset law.
    """

    fraction: float = 0.05
    redshift: str | None = None
    offset: OffsetLaw = "chance"

    def __post_init__(self) -> None:
        if not 0.0 <= self.fraction <= 1.0:
            raise ConfigError("host_policy.fraction", str(self.fraction), "choose a share from 0 to 1")
        if self.offset not in get_args(OffsetLaw):
            raise ConfigError("host_policy.offset", repr(self.offset), f"choose one of {', '.join(get_args(OffsetLaw))}")


@dataclass(frozen=True)
class LightCurve:
    """What a source does at n x T epochs.

    Attributes
    ----------
    mag : (n, T)
        AB magnitude; +inf where the source gives no light.
    offset : (n, T, 2) or None
        Displacement (x, y) from the stamp's position [arcsec]; None: it does not move. Where the source raises an alert,
        the stamp is cut around its place in the first alert, and the other epochs are displaced from there.
    trail : (n, T) or None
        Length of the trail within the exposure [arcsec], along the direction of motion; None: no trail.
    """

    mag: Array
    offset: Array | None = None
    trail: Array | None = None


class Source(ABC):
    """A class of object.

    Attributes
    ----------
    bands : tuple of str
        Filters the model knows; `light_curve` receives indices into it. Others raise BandError in the simulation.
    triggers : bool
        True for classes whose movie starts five images before their first alert (supernovae, asteroids); the other
        classes borrow the dates of such an object (section 3.1 of the paper).
    """

    bands: ClassVar[tuple[str, ...]] = ("u", "g", "r", "i", "z", "y")
    triggers: ClassVar[bool] = False

    @property
    def host_policy(self) -> HostPolicy:
        """Galaxies under this class; the default is the paper's 5 % chance alignments."""
        return HostPolicy()

    @abstractmethod
    def sample(self, n: int, rng: np.random.Generator, *, window: Array | None = None) -> Params:
        """Parameters of n objects: one array with first axis n per column (period [d], redshift, ...).

        Parameters
        ----------
        n : int
        rng : numpy Generator
            The only source of randomness.
        window : (n, 2) or None
            First and last MJD of each object's exposures. Transients draw their date from it; without it they take
            place within 30 days of MJD 0. Periodic classes ignore it.
        """

    @abstractmethod
    def light_curve(self, params: Params, mjd: Array, band: NDArray[np.int8]) -> LightCurve:
        """Noiseless light curve: pure, so that the same params can be seen at any epochs of any survey.

        Parameters
        ----------
        params : Params
            As `sample` returned (or some rows of it).
        mjd : (n, T)
            Middle of the exposures [d].
        band : int8 (n, T)
            Index into this class's `bands`.
        """

    def select(self, params: Params, mag: Array, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Objects that enter the catalogue at all, (n,) bool, before any alert is asked for. Default: all."""
        return np.ones(len(mag), np.bool_)
