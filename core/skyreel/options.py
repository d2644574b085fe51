"""Option dataclasses from config groups: strict keys, strict types."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from skyreel.errors import ConfigError

T = TypeVar("T")


def typed_options(group: str, cls: type[T], values: Mapping[str, Any]) -> T:
    """An instance of the dataclass `cls` from a config group.

    Raises
    ------
    ConfigError
        For an unknown key (naming the nearest known one), a value of the wrong type or out of range.
    """
    plain = OmegaConf.to_container(OmegaConf.create(dict(values)), resolve=True)
    assert isinstance(plain, dict)
    known = {item.name: item for item in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in map(str, plain):
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"options are {', '.join(known)}"
            raise ConfigError(f"{group}.{key}", "no such option", hint)
    tuples = {name for name, item in known.items() if str(item.type).startswith("tuple")}
    scalars = {str(k): v for k, v in plain.items() if k not in tuples}
    try:
        checked = OmegaConf.merge(OmegaConf.structured(_without(cls, tuples)), scalars)
        options = OmegaConf.to_container(checked, resolve=True)
    except OmegaConfBaseException as err:
        key = getattr(err, "full_key", None)
        raise ConfigError(f"{group}.{key}" if key else group, str(err).splitlines()[0], "correct its value") from None
    assert isinstance(options, dict)
    return cls(**{str(k): v for k, v in options.items()}, **{k: tuple(plain[k]) for k in tuples if k in plain})


def _without(cls: type[Any], names: set[str]) -> type[Any]:
    """The dataclass less its tuple fields, which OmegaConf cannot hold."""
    fields = [(f.name, f.type, dataclasses.field(default=f.default)) for f in dataclasses.fields(cls) if f.name not in names]
    hints = {"int": int, "float": float, "str": str, "bool": bool}
    return dataclasses.make_dataclass(cls.__name__, [(n, hints.get(str(t), Any), d) for n, t, d in fields])
