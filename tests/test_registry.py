"""Building components: names, types, ranges, and messages that say what to do."""

from dataclasses import dataclass, field

import conformance_toys as toys
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from skyreel import Component
from skyreel.errors import ConfigError, PluginError
from skyreel.interfaces import Source
from skyreel.registry import KINDS, Registry, checked, nearest, typed


@dataclass
class Star(toys.ToySource):
    mag: float = 20.0
    number: int = 3
    bands_used: list[str] = field(default_factory=lambda: ["g"])
    limit: float | None = None

    def __post_init__(self) -> None:
        if self.mag > 30:
            raise ConfigError("mag", f"{self.mag}", "choose at most 30 mag")
        if self.number < 0:
            raise ValueError("number is negative")


@dataclass
class Abstract(Source):
    pass


class Plain(toys.ToySource):
    pass


def registry(**targets: object) -> Registry:
    out = Registry({"gone": "gone 1.0: ImportError: no module"})
    out.add("source", [Component(name, target, plugin="toy") for name, target in targets.items()])  # type: ignore[arg-type]
    return out


def test_create_converts_and_keeps_defaults() -> None:
    star = registry(star=Star).create("source", {"name": "star", "mag": 21, "number": "4"})
    assert (star.mag, star.number, star.bands_used, star.limit) == (21.0, 4, ["g"], None)
    assert isinstance(star.mag, float)


def test_components_never_meet_omegaconf_containers() -> None:
    config = OmegaConf.create({"a": ["g", "r"], "star": {"name": "star", "bands_used": "${a}"}})
    star = registry(star=Star).create("source", config.star)
    assert type(star.bands_used) is list
    assert star.bands_used == ["g", "r"]


def test_create_leaves_the_config_alone() -> None:
    config = {"name": "star"}
    registry(star=Star).create("source", config)
    assert config == {"name": "star"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mga": 20.0}, "source 'star' has no option 'mga'.*did you mean 'mag'"),
        ({"mag": "bright"}, "source 'star', option 'mag'.*could not be converted to Float"),
        ({"number": 1.5}, "source 'star', option 'number'.*could not be converted to Integer"),
        ({"bands_used": "g"}, "source 'star', option 'bands_used'"),
        ({"mag": 31.0}, "source 'star': mag: 31.0; choose at most 30 mag"),
        ({"number": -1}, "source 'star': number is negative"),
    ],
)
def test_wrong_options_are_config_errors(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        registry(star=Star).create("source", {"name": "star", **options})


@pytest.mark.parametrize("config", [{}, {"name": None}, {"name": 3}])
def test_a_config_without_a_name(config: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="name one of star"):
        registry(star=Star).create("source", config)


def test_an_unknown_name_gives_the_nearest_and_the_plugins_that_failed() -> None:
    with pytest.raises(PluginError, match=r"no source 'stra'.*have star; did you mean 'star'.*plugin 'gone' did not load \(gone 1.0"):
        registry(star=Star).get("source", "stra")


def test_an_unknown_kind() -> None:
    with pytest.raises(PluginError, match="kind 'sourse'.*did you mean 'source'"):
        registry().get("sourse", "star")


def test_no_plugin_at_all_says_how_to_install() -> None:
    with pytest.raises(PluginError, match="make install"):
        Registry({}).get("source", "star")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("no_such_module_xyz:Star", "plugin 'toy': 'star' from 'no_such_module_xyz:Star'.*ModuleNotFoundError"),
        ("conformance_toys:NoSuchClass", "AttributeError"),
        ("conformance_toys:CORRECT", "name a class"),
        (toys.ToyPSF, "is not a subclass of skyreel.interfaces.Source"),
        (Abstract, "Abstract does not define light_curve, sample"),
        (Plain, "Plain is not a dataclass"),
    ],
)
def test_a_target_that_breaks_the_contract(target: object, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        registry(star=target).create("source", {"name": "star"})


def test_a_field_that_cannot_be_an_option() -> None:
    @dataclass
    class Odd(toys.ToySource):
        phasor: complex = 0j

    with pytest.raises(PluginError, match="fields of Odd cannot be options"):
        registry(star=Odd).create("source", {"name": "star"})


@pytest.mark.parametrize("returned", [None, 3, "star", Component("star", "m:C"), {"star": "m:C"}])
def test_a_hook_must_return_a_list(returned: object) -> None:
    with pytest.raises(PluginError, match=r"plugin 'toy': skyreel_sources\(\): returned .*; return a list of skyreel.Component"):
        checked("source", "toy", returned)


@pytest.mark.parametrize("name", ["Star", "rr-lyrae", "", "1star", "a b"])
def test_names_are_lower_case_identifiers(name: str) -> None:
    with pytest.raises(PluginError, match="not a lower-case identifier"):
        checked("source", "toy", [Component(name, "m:C")])


def test_a_plugin_offers_a_name_once() -> None:
    with pytest.raises(PluginError, match="name 'star' is offered twice"):
        checked("source", "toy", [Component("star", "m:C"), Component("star", "m:D")])


def test_every_kind_has_a_base_class() -> None:
    import skyreel.interfaces

    assert all(isinstance(getattr(skyreel.interfaces, kind.base), type) for kind in KINDS.values())


@given(st.text("abcdefgh_", min_size=4, max_size=12), st.integers(0, 11))
def test_a_name_with_one_letter_lost_is_recognised(word: str, index: int) -> None:
    index %= len(word)
    assert nearest(word[:index] + word[index + 1 :], ["survey", word]) == f"; did you mean {word!r}?"


@given(st.integers(-(2**40), 2**40), st.floats(allow_nan=False, allow_infinity=False))
def test_typed_keeps_every_number(whole: int, number: float) -> None:
    @dataclass(frozen=True)
    class Numbers:
        whole: int = 0
        number: float = 0.0
        words: tuple[str, ...] = ()

    made = typed(Numbers, {"whole": whole, "number": number, "words": ["a"]}, "numbers")
    assert made == Numbers(whole, number, ("a",))
