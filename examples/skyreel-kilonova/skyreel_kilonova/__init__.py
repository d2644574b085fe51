"""Kilonovae for skyreel: merging neutron stars, days long, blue then red."""

from pathlib import Path

from skyreel import Component, hookimpl


@hookimpl
def skyreel_sources() -> list[Component]:
    """Source classes."""
    return [Component("kilonova", "skyreel_kilonova.kilonova:Kilonova", "ejecta of merging neutron stars")]


@hookimpl
def skyreel_config_paths() -> list[Path]:
    """Folder of the Hydra groups."""
    return [Path(__file__).parent / "conf"]
