"""A model of LightCurveLynx from a config: plain values, random draws, objects of its classes and named nodes.

A value is one of

=========================================  ==================================================================
number, text, list                         itself
``{uniform: [low, high]}``                 drawn uniformly for every object
``{log_uniform: [low, high]}``             its logarithm is
``{normal: [mean, standard deviation]}``
``{choice: [value, ...]}``                 one of them, equally likely
``{class: package.module.Class, ...}``     an object of that class; the other entries are its arguments (values again)
``{of: NAME}``, ``{of: NAME.PARAMETER}``   an entry of the option ``nodes``, or one of its parameters
=========================================  ==================================================================
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from skyreel.errors import ConfigError
from skyreel.registry import nearest
from skyreel_lightcurvelynx.library import named_class, refusals

DRAWS = ("uniform", "log_uniform", "normal", "choice")


class Recipe:
    """Turns values of a config into what LightCurveLynx's constructors take.

    Parameters
    ----------
    nodes : mapping of str to value
        Values that several parameters share, for example a redshift; each may refer to those before it.
    packages : sequence of str
        See `library.named_class`.

    Raises
    ------
    ConfigError
        For values that cannot be read.
    """

    def __init__(self, nodes: Mapping[str, Any], packages: Sequence[str]) -> None:
        self.packages = packages
        self.nodes: dict[str, Any] = {}
        for name, value in nodes.items():
            self.nodes[name] = self.value(value, f"nodes.{name}")

    def value(self, value: Any, where: str) -> Any:
        """A value as LightCurveLynx takes it; `where` is the option that holds it."""
        if isinstance(value, (list, tuple)):
            return [self.value(item, f"{where}[{k}]") for k, item in enumerate(value)]
        if not isinstance(value, Mapping):
            return value
        if "class" in value:
            return self.build(value, where)
        if len(value) == 1 and (word := next(iter(value))) in (*DRAWS, "of"):
            return self._reference(value["of"], where) if word == "of" else _draw(word, value[word], where)
        raise ConfigError(where, f"{dict(value)}", f"give a number, or one of {', '.join((*DRAWS, 'class', 'of'))} and its value")

    def build(self, value: Mapping[str, Any], where: str) -> Any:
        """An object of ``value['class']``."""
        cls = named_class(str(value["class"]), self.packages)
        arguments = {name: self.value(item, f"{where}.{name}") for name, item in value.items() if name != "class"}
        with refusals(f"{where}: {value['class']}", f"it takes {', '.join(arguments_of(cls)) or 'nothing'}"):
            return cls(**arguments)

    def _reference(self, target: Any, where: str) -> Any:
        name, _, parameter = str(target).partition(".")
        if name not in self.nodes:
            have = ", ".join(self.nodes) or "none"
            raise ConfigError(f"{where}: of {target!r}", f"no such node{nearest(name, self.nodes)}", f"nodes before it: {have}")
        node = self.nodes[name]
        if not parameter:
            return node
        known = list(getattr(node, "setters", ()))
        if parameter not in known:
            raise ConfigError(
                f"{where}: of {target!r}", f"no such parameter{nearest(parameter, known)}", f"it has {', '.join(known) or 'none'}"
            )
        return getattr(node, parameter)


def arguments_of(cls: type) -> list[str]:
    """Names that the constructors of a class and of its bases spell out."""
    found: dict[str, None] = {}
    for base in cls.__mro__:
        if "__init__" in vars(base) and base is not object:
            spelt = inspect.signature(vars(base)["__init__"]).parameters.values()
            found.update({p.name: None for p in spelt if p.name != "self" and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)})
    return list(found)


def check_parameters(model: Any, given: Mapping[str, Any]) -> None:
    """Raises for parameters that the model would silently drop: LightCurveLynx's constructors take any keyword.

    Raises
    ------
    ConfigError
        Naming the nearest known one.
    """
    own = getattr(model, "param_names", None)  # a wrapped sncosmo source adds whatever it is given
    known = [*arguments_of(type(model)), "cosmology", *(model.list_params() if own is None else own)]
    for name in given:
        if name not in known:
            unique = ", ".join(sorted({str(item) for item in known} - {"node_label", "kwargs", "args"}))
            raise ConfigError(
                f"parameters.{name}", f"{type(model).__name__} has no such parameter{nearest(name, known)}", f"it has {unique}"
            )


def _draw(word: str, value: Any, where: str) -> Any:
    """A node that draws by itself, from the generator that `sample` is given."""
    from lightcurvelynx.math_nodes.basic_math_node import BasicMathNode
    from lightcurvelynx.math_nodes.given_sampler import GivenValueSampler
    from lightcurvelynx.math_nodes.np_random import NumpyRandomFunc

    if not isinstance(value, (list, tuple)) or not value:
        raise ConfigError(f"{where}.{word}", repr(value), "give a list of values")
    if word == "choice":
        return GivenValueSampler(list(value))
    number = all(isinstance(item, (int, float)) and np.isfinite(item) for item in value)
    if not number or len(value) != 2:
        raise ConfigError(f"{where}.{word}", f"{list(value)}", "give two finite numbers")
    low, high = (float(item) for item in value)
    if word == "normal":
        if high < 0.0:
            raise ConfigError(f"{where}.normal", f"standard deviation {high:g}", "choose 0 or a positive number")
        return NumpyRandomFunc("normal", loc=low, scale=high)
    if low > high or (word == "log_uniform" and low <= 0.0):
        remedy = "the first must not exceed the second" + (", both must be positive" if word == "log_uniform" else "")
        raise ConfigError(f"{where}.{word}", f"{list(value)}", remedy)
    if word == "uniform":
        return NumpyRandomFunc("uniform", low=low, high=high)
    return BasicMathNode("exp(x)", x=NumpyRandomFunc("uniform", low=np.log(low), high=np.log(high)))
