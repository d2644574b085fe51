"""LightCurveLynx: its models as classes, its tables of visits as surveys (needs ``pip install skyreel[lightcurvelynx]``)."""

from skyreel import Component, hookimpl


@hookimpl
def skyreel_sources() -> list[Component]:
    """Light-curve classes."""
    return [Component("lightcurvelynx", "skyreel_lightcurvelynx.source:LightCurveLynxSource", "any LightCurveLynx model by its name")]


@hookimpl
def skyreel_surveys() -> list[Component]:
    """Survey conditions."""
    return [Component("lightcurvelynx", "skyreel_lightcurvelynx.survey:LightCurveLynxSurvey", "visits from a file: OpSim, Rubin, ZTF, ...")]
