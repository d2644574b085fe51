"""The seven object classes of Carrasco-Davis et al. 2018 (Table 2)."""

from skyreel import Component, hookimpl


@hookimpl
def skyreel_sources() -> list[Component]:
    """Light-curve classes."""
    return [
        Component("supernova", "skyreel_sources.supernova:Supernova", "SN Ia (Hsiao SED) and SN II (plateau)"),
        Component("rr_lyrae", "skyreel_sources.rr_lyrae:RRLyrae", "RR Lyrae, types ab and c"),
        Component("cepheid", "skyreel_sources.cepheid:Cepheid", "classical Cepheids"),
        Component("eclipsing_binary", "skyreel_sources.eclipsing_binary:EclipsingBinary", "contact and detached eclipsing binaries"),
        Component("non_variable", "skyreel_sources.constant:NonVariable", "stars of constant brightness"),
        Component("galaxy", "skyreel_sources.galaxy:Galaxy", "galaxies without a point source"),
        Component("asteroid", "skyreel_sources.asteroid:Asteroid", "a point of light at one epoch, or a slow mover"),
    ]
