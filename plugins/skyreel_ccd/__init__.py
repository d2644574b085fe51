"""A CCD: photon noise, read noise, saturation."""

from skyreel import Component, hookimpl


@hookimpl
def skyreel_detectors() -> list[Component]:
    """Detectors."""
    return [Component("ccd", "skyreel_ccd.detector:CCD", "Poisson and read noise, saturation")]
