"""Any source of sncosmo as a class of transients (needs ``pip install skyreel[sncosmo]``)."""

from skyreel import Component, hookimpl


@hookimpl
def skyreel_sources() -> list[Component]:
    """Light-curve classes."""
    return [Component("sncosmo", "skyreel_sncosmo.source:SncosmoSource", "any sncosmo source by name: hsiao, salt2, nugent-sn2p, ...")]
