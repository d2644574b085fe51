"""Rubin's Legacy Survey of Space and Time for skyreel."""

from pathlib import Path

from skyreel import Component, hookimpl


@hookimpl
def skyreel_surveys() -> list[Component]:
    """Survey conditions."""
    return [Component("lsst", "skyreel_lsst.survey:LSST", "Rubin LSST wide-fast-deep, ugrizy")]


@hookimpl
def skyreel_config_paths() -> list[Path]:
    """Folder of the Hydra groups."""
    return [Path(__file__).parent / "conf"]
