"""From a composed config to a simulation that can run."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from omegaconf import OmegaConf

from skyreel.errors import ConfigError, SimulationError
from skyreel.interfaces import Survey, class_order
from skyreel.plugin import plugins
from skyreel.preprocessing import SequenceOptions
from skyreel.registry import typed
from skyreel.simulate.chain import Simulation
from skyreel.simulate.dates import WindowRule
from skyreel.simulate.options import SimulationOptions

KEYS = ("survey", "source", "psf", "host", "detector", "simulation", "sequence", "stamp", "seed")
"""The part of the config that a simulation depends on."""


def whole_number(config: Mapping[str, Any], key: str, least: int = 0) -> int:
    """A whole number that stands at the top of a config.

    Raises
    ------
    ConfigError
        If it is anything else, or below `least`.
    """
    value = config.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(key, repr(value), f"use a whole number from {least} on")
    return value


def simulation_config(config: Any) -> dict[str, Any]:
    """The part of a run's config that the simulation depends on, as plain containers."""
    plain = OmegaConf.to_container(OmegaConf.create(config), resolve=True)
    assert isinstance(plain, dict)
    return {key: plain.get(key) for key in KEYS}


def build(config: Mapping[str, Any]) -> Simulation:
    """Creates the components a config names.

    Raises
    ------
    ConfigError
        For options out of range, or no class at all.
    PluginError
        For unknown components.
    """
    registry = plugins().registry
    if not config["source"]:
        raise ConfigError("source", "no class", "name at least one, for example source=[supernova,non_variable]")
    if not isinstance(config["stamp"], Mapping):
        raise ConfigError("stamp", repr(config["stamp"]), "give stamp.size=21 for stamps of 21 px")
    size = config["stamp"].get("size")
    if not isinstance(size, int) or not 7 <= size <= 256:
        raise ConfigError("stamp.size", repr(size), "use a whole number of pixels from 7 to 256")
    sequence = typed(SequenceOptions, config["sequence"], "sequence")
    sources = {label: registry.create("source", config["source"][label]) for label in class_order(list(config["source"]))}
    survey = registry.create("survey", config["survey"])
    _supported(survey, config["survey"]["name"])
    return Simulation(
        survey=survey,
        sources=sources,
        psf=registry.create("psf", config["psf"]),
        host=registry.create("host", config["host"]),
        detector=registry.create("detector", config["detector"]),
        options=typed(SimulationOptions, config["simulation"], "simulation"),
        rule=WindowRule(sequence.before_alert, sequence.max_images),
        stamp_size=size,
        seed=whole_number(config, "seed"),
    )


def _supported(survey: Survey, name: str) -> None:
    """SimulationError for what a survey may say of itself but the chain does not render yet."""
    if survey.sampling != "all_visits":
        raise SimulationError(f"survey {name!r}", f"sampling {survey.sampling!r}", "movies are simulated for all_visits alone so far")
    if tuple(survey.channels) != ("science",):
        raise SimulationError(f"survey {name!r}", f"channels {', '.join(survey.channels)}", "science images alone are rendered so far")


def as_text(config: Mapping[str, Any]) -> str:
    """What `simulation_config` returned as YAML: small enough to travel to any worker, and a key of `cached`."""
    return OmegaConf.to_yaml(OmegaConf.create(dict(config)))


@lru_cache(maxsize=4)
def cached(text: str) -> Simulation:
    """`build` from `as_text`, once per process."""
    return build(OmegaConf.to_container(OmegaConf.create(text)))  # type: ignore[arg-type]
