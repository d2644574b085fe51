"""Host galaxies rendered by GalSim."""

from skyreel import Component, hookimpl


@hookimpl
def skyreel_hosts() -> list[Component]:
    """Galaxy renderers."""
    return [Component("galsim", "skyreel_galsim.host:GalSimHost", "exponential plus de Vaucouleurs profile")]
