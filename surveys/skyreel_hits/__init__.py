"""HiTS, the High cadence Transient Survey with DECam (Foerster et al. 2016), season 2015A."""

from skyreel import Component, hookimpl


@hookimpl
def skyreel_surveys() -> list[Component]:
    """Survey conditions."""
    return [Component("hits", "skyreel_hits.survey:HiTS", "HiTS 2015A, DECam g (r and i by option)")]
