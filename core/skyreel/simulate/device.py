"""Where images are made."""

from __future__ import annotations

import torch

from skyreel.errors import ConfigError


def available() -> list[str]:
    """Devices of this machine, the fastest first."""
    gpus = [f"cuda:{k}" for k in range(torch.cuda.device_count())]
    apple = ["mps"] if torch.backends.mps.is_available() else []
    return [*gpus, *apple, "cpu"]


def device(name: str) -> torch.device:
    """The device of a name; 'auto' is the first of `available`.

    Raises
    ------
    ConfigError
        If this machine has no such device.
    """
    found = available()
    wanted = {"auto": found[0], "cuda": "cuda:0"}.get(name, name)
    if wanted not in found:
        raise ConfigError(f"simulation.device={name}", f"this machine has {', '.join(found)}", "use one of these, or auto")
    return torch.device(wanted)
