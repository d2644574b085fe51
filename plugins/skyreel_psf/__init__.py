"""Point-spread functions: Gaussian, Moffat and stars of the Dark Energy Camera."""

from skyreel import Component, hookimpl


@hookimpl
def skyreel_psfs() -> list[Component]:
    """PSF models."""
    return [
        Component("gaussian", "skyreel_psf.analytic:Gaussian", "circular Gaussian"),
        Component("moffat", "skyreel_psf.analytic:Moffat", "Moffat profile with elliptical exposures"),
        Component("empirical", "skyreel_psf.empirical:Empirical", "shapes drawn from real DECam stars"),
    ]
