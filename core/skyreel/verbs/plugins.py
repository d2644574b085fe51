"""`skyreel plugins [--json]`: every plugin, what it offers, and each option with its type, default and unit."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import Any

from skyreel.errors import PluginError
from skyreel.plugin import Plugins, plugins
from skyreel.registry import KINDS, Component, load_class


def main(argv: Sequence[str]) -> int:
    """Prints the plugins; returns 1 where one is broken or two offer the same name, else 0."""
    parser = argparse.ArgumentParser(prog="skyreel plugins", description="List plugins, what they offer and their options.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    as_json = parser.parse_args(argv).json
    found = inventory(plugins())
    print(json.dumps(found, indent=2) if as_json else as_text(found))
    for line in found["broken"] + found["clashes"]:
        print(f"skyreel: {line}", file=sys.stderr)
    return 1 if found["broken"] or found["clashes"] else 0


def inventory(manager: Plugins) -> dict[str, Any]:
    """What the plugins offer, as plain containers.

    Returns
    -------
    dict
        ``plugins``: list of {name, distribution, components: list of {kind, name, summary, options: list of
        {name, type, default, unit}}}; ``broken`` and ``clashes``: lists of str.
    """
    broken = [f"plugin {name!r} left out: {why}" for name, why in manager.failures.items()]
    listed = []
    for plugin, distribution in manager.origin.items():
        offers = [(kind, item) for kind in KINDS for item in manager.registry.of(kind) if item.plugin == plugin]
        components = []
        for kind, item in offers:
            try:
                known = options(kind, item)
            except PluginError as err:
                broken.append(str(err))
                known = []
            components.append({"kind": kind, "name": item.name, "summary": item.summary, "options": known})
        listed.append({"name": plugin, "distribution": distribution, "components": components})
    return {"plugins": listed, "broken": broken, "clashes": manager.registry.clashes() + manager.config_clashes()}


def options(kind: str, item: Component) -> list[dict[str, Any]]:
    """Options of a component: name, type, default and unit (None where it has none)."""
    fields = [field for field in dataclasses.fields(load_class(kind, item)) if field.init]
    return [{"name": f.name, "type": _type(f), "default": _default(f), "unit": f.metadata.get("unit")} for f in fields]


def _type(field: dataclasses.Field[Any]) -> str:
    return field.type if isinstance(field.type, str) else getattr(field.type, "__name__", str(field.type))


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def as_text(found: dict[str, Any]) -> str:
    """The inventory for a terminal."""
    lines = []
    for plugin in found["plugins"]:
        lines.append(f"{plugin['name']} ({plugin['distribution']})")
        for component in plugin["components"]:
            lines.append(f"    {component['kind']:10} {component['name']:16} {component['summary']}")
            for option in component["options"]:
                unit = f" [{option['unit']}]" if option["unit"] else ""
                lines.append(f"        {option['name']}: {option['type']} = {option['default']!r}{unit}")
    return "\n".join(lines) or "no plugins"
