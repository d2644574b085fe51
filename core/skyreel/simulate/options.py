"""Options of the simulation itself: how the true conditions differ from the reported ones, centring, limits."""

from __future__ import annotations

from dataclasses import dataclass, field

from skyreel.errors import ConfigError
from skyreel.simulate.resampling import ORDERS

CENTRINGS = ("per_frame", "per_object", "both")
RESAMPLINGS = ("none", *ORDERS)

SCATTERS = (
    "zero_point_jitter",
    "zero_point_scatter",
    "psf_width_jitter",
    "psf_width_scatter",
    "psf_width_residual",
    "sky_common",
    "sky_offset",
    "sky_jitter",
)
"""Options that are standard deviations of true against reported conditions."""


@dataclass(frozen=True)
class SimulationOptions:
    """Config group `simulation`.

    Attributes
    ----------
    zero_point_jitter : float, mag
        Standard deviation of true minus reported zero point, one draw per exposure.
    zero_point_scatter : float, mag
        The same, one draw per object and frame (flat field, aperture losses).
    psf_width_jitter : float
        Relative standard deviation of true over reported PSF width, one draw per exposure.
    psf_width_scatter : float
        The same, one draw per object (place on the focal plane).
    psf_width_residual : float
        The same, one draw per object and frame.
    sky_level : float
        Mean of true over reported sky. Below 1: the header's sky counts light of objects, which the stamp holds as objects.
    sky_common : float
        Relative standard deviation of true over reported sky, one draw per exposure.
    sky_offset : float
        The same, one draw per object (flat field, scattered light).
    sky_jitter : float
        The same, one draw per object and frame.
    centring : 'per_frame', 'per_object' or 'both'
        Sub-pixel centre of the source, uniform within the central pixel: drawn anew for every frame (stamps cut at
        the nearest pixel of each image, and the paper's text), once per object (stamps cut at a fixed position of
        registered images), or either for half of the objects of every class.
    centre_offset : list of two float, px
        Where stamps cut per frame have their source on average, (x, y) from the central pixel's middle.
    resampling : 'none', 'lanczos2' or 'lanczos3'
        Kernel by which registered images (centring per object) were interpolated: it correlates and lowers their noise, as in the
        real supernovae of HiTS. It goes by object, not by class, and cannot give a label away.
    neighbours : float
        Stars and galaxies of the field on the stamp, times their number counts; 0 for none.
    device : str
        Where images are made: 'cpu', 'cuda', 'cuda:1', 'mps', or 'auto' for the first there is. Their noise differs between kinds.
    min_images : int
        Shortest movie kept; an alert so late that fewer images exist is proposed again.
    extra_before : int
        Half of the objects of every class start up to this many images earlier (uniform), so that a network also sees
        long sequences; the classes' lengths stay alike. 0 is the paper's text.
    window : bool
        True: the dates of section 3.1 of the paper (five images before the first alert, other classes borrow the
        dates of such an object). False: every exposure of the field.
    oversample : int
        Samples per pixel of the renderer.
    max_rounds : int
        Rounds of proposals after which an undetectable class is given up.
    """

    zero_point_jitter: float = field(default=0.0, metadata={"unit": "mag"})
    zero_point_scatter: float = field(default=0.0, metadata={"unit": "mag"})
    psf_width_jitter: float = 0.0
    psf_width_scatter: float = 0.0
    psf_width_residual: float = 0.0
    sky_level: float = 1.0
    sky_common: float = 0.0
    sky_offset: float = 0.0
    sky_jitter: float = 0.0
    centring: str = "per_frame"
    centre_offset: list[float] = field(default_factory=lambda: [0.0, 0.0], metadata={"unit": "px"})
    resampling: str = "none"
    neighbours: float = 0.0
    device: str = "cpu"
    min_images: int = 5
    extra_before: int = 0
    window: bool = True
    oversample: int = 2
    max_rounds: int = 200

    def __post_init__(self) -> None:
        if self.centring not in CENTRINGS:
            raise ConfigError("simulation.centring", repr(self.centring), f"use one of {', '.join(CENTRINGS)}")
        if self.resampling not in RESAMPLINGS:
            raise ConfigError("simulation.resampling", repr(self.resampling), f"use one of {', '.join(RESAMPLINGS)}")
        if len(self.centre_offset) != 2 or not all(abs(value) <= 0.5 for value in self.centre_offset):
            raise ConfigError("simulation.centre_offset", str(self.centre_offset), "give x and y, each within half a pixel")
        if not 0.5 <= self.sky_level <= 2:
            raise ConfigError("simulation.sky_level", str(self.sky_level), "it must lie in [0.5, 2]")
        if not 0 <= self.neighbours <= 20:
            raise ConfigError("simulation.neighbours", str(self.neighbours), "it must lie in [0, 20]")
        for name in SCATTERS:
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"simulation.{name}", str(getattr(self, name)), "it must lie in [0, 1)")
        if self.extra_before < 0:
            raise ConfigError("simulation.extra_before", str(self.extra_before), "it must be 0 or more")
        for name in ("min_images", "oversample", "max_rounds"):
            if getattr(self, name) < 1:
                raise ConfigError(f"simulation.{name}", str(getattr(self, name)), "it must be at least 1")
