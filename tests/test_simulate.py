"""The chain from conditions to stored numbers: contracts and physics."""

from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from skyreel.errors import BandError, ConfigError, OutputError, SimulationError
from skyreel.hydra_glue import compose
from skyreel.interfaces import CLASSES, PixelBits
from skyreel.movie_files import MovieFolder
from skyreel.movies import Movies
from skyreel.seeding import BLOCK
from skyreel.simulate.chain import Simulation
from skyreel.simulate.run import build, simulate_movies, simulate_to, simulation_config

QUIET = ["detector.photon_noise=false", "detector.read_noise=false"]
BARE = [
    "simulation.neighbours=0",
    "simulation.resampling=none",
    "simulation.sky_level=1",
    *(f"simulation.sky_{name}=0" for name in ("common", "offset", "jitter")),
]
"""Nothing but the sources on the reported sky."""


def simulation(*overrides: str) -> Simulation:
    return build(simulation_config(compose("simulate", list(overrides))))


@pytest.fixture(scope="module")
def stars() -> Movies:
    return simulation("source=[supernova,asteroid,non_variable]").block("test", "non_variable", 0)


def test_a_block_of_every_class_has_its_contract() -> None:
    everything = simulation()
    assert tuple(everything.sources) == CLASSES
    for label in CLASSES:
        movies = everything.block("test", label, 0)
        movies.check(label)
        assert len(movies) == BLOCK
        assert movies.pixels.dtype == np.uint16
        assert movies.pixels.shape[1] <= 22
        assert movies.pixels.shape[2:] == (1, 21, 21)
        assert set(movies.label) == {label}
        assert len(set(movies.object_id)) == BLOCK
        lengths = movies.frame_mask.sum(axis=1)
        assert lengths.min() >= 5
        # Nothing is left behind a movie's end, and no seeing beyond the cut of the paper.
        assert not movies.pixels[~movies.frame_mask].any()
        assert (movies.reported.seeing[movies.frame_mask] < 2.0).all()


def test_alerts_sit_after_at_most_five_images_and_are_above_the_limit() -> None:
    sim = simulation("source=[supernova,asteroid]", "survey.detection=limiting_mag")
    for label in ("supernova", "asteroid"):
        movies = sim.block("test", label, 0)
        truth = movies.truth
        assert truth is not None
        first = movies.first_detection
        assert (first >= 0).all()
        assert (first <= 5).all()
        e = movies.reported
        with np.errstate(divide="ignore"):
            mag = truth.exposures.zero_point - 2.5 * np.log10(truth.flux / e.exptime)
        rows = np.arange(len(movies))
        jitter = 0.2  # true and reported zero points differ by the simulation's own errors
        assert (mag[rows, first] < e.limiting_mag[rows, first] + jitter).all()
        before = np.arange(e.shape[1]) < first[:, None]
        assert not (before & (mag < e.limiting_mag - jitter) & movies.frame_mask).any()


def test_other_classes_borrow_the_dates_of_alerts() -> None:
    sim = simulation("source=[supernova,asteroid,non_variable]")
    own = np.concatenate([sim.block("test", label, k).frame_mask.sum(axis=1) for label in ("supernova", "asteroid") for k in range(2)])
    lent = np.concatenate([sim.block("test", "non_variable", k).frame_mask.sum(axis=1) for k in range(4)])
    # Same distribution of lengths: the two-sample KS distance of 256 + 256 draws stays below 0.17 at 1e-3.
    from scipy.stats import ks_2samp

    assert ks_2samp(own, lent).statistic < 0.17
    assert (simulation("source=[non_variable]").block("test", "non_variable", 0).first_detection == -1).all()


def test_counts_follow_equation_one(stars: Movies) -> None:
    truth = stars.truth
    assert truth is not None
    e = truth.exposures
    mask = stars.frame_mask
    mag = np.broadcast_to(truth.params["mean_mag"][:, None], mask.shape)
    expected = e.exptime * 10 ** (-0.4 * (mag - e.zero_point))
    np.testing.assert_allclose(truth.flux[mask], expected[mask], rtol=1e-4)


def test_flux_and_centre_come_out_of_the_pixels() -> None:
    sim = simulation(
        "source=[non_variable]", "source.non_variable.host_fraction=0", "source.non_variable.mag_max=18", "psf=gaussian", *QUIET, *BARE
    )
    movies = sim.block("test", "non_variable", 0)
    truth = movies.truth
    assert truth is not None
    mask = movies.frame_mask & (truth.exposures.psf_fwhm < 4.5) & (truth.flux > 100_000) & ~(movies.pixel_mask.any(axis=(2, 3, 4)))
    light = movies.pixels[:, :, 0].astype(float) - truth.exposures.sky[:, :, None, None]
    total = light.sum(axis=(2, 3))
    # Without noise all pixels of bare sky are rounded alike: up to 0.5 ADU times 441 pixels.
    assert mask.sum() > 50
    np.testing.assert_allclose(total[mask], truth.flux[mask], atol=0.5 * 441, rtol=1e-4)
    x = np.arange(21) - 10
    centre = np.stack([(light * x).sum(axis=(2, 3)) / total, (light * x[:, None]).sum(axis=(2, 3)) / total], axis=-1)
    np.testing.assert_allclose(centre[mask], truth.centre[mask], atol=0.03)


def test_background_noise_is_photons_plus_read_noise() -> None:
    sim = simulation("source=[asteroid]", "source.asteroid.host_fraction=0", *BARE)
    movies = sim.block("test", "asteroid", 0)
    e = movies.reported
    dark = movies.frame_mask & (np.arange(e.shape[1]) != movies.first_detection[:, None]) & (movies.truth.flux == 0)
    pixels = movies.pixels[:, :, 0][dark].astype(float)
    sky, gain, noise = (getattr(e, name)[dark].astype(float) for name in ("sky", "gain", "read_noise"))
    pulls = (pixels - sky[:, None, None]) / np.sqrt(sky / gain + (noise / gain) ** 2 + 1 / 12)[:, None, None]
    n = pulls.size
    assert abs(pulls.mean()) < 5 / np.sqrt(n)
    assert abs(pulls.var() - 1) < 5 * np.sqrt(2.2 / n)


def test_centring_modes_differ_as_named() -> None:
    scatter = {}
    for mode in ("per_frame", "per_object", "both"):
        movies = simulation("source=[non_variable]", f"simulation.centring={mode}").block("test", "non_variable", 0)
        scatter[mode] = np.ptp(movies.truth.centre[:, :5], axis=1).max(axis=1)
    assert (scatter["per_frame"] > 0).all()
    assert (scatter["per_object"] == 0).all()
    assert 0.25 < (scatter["both"] == 0).mean() < 0.75


def test_bright_stars_saturate_and_say_so() -> None:
    sim = simulation("source=[non_variable]", "source.non_variable.mag_min=14.5", "source.non_variable.mag_max=15", *BARE)
    movies = sim.block("test", "non_variable", 0)
    flagged = (movies.pixel_mask & PixelBits.SATURATED) > 0
    assert flagged.any()
    e = movies.reported
    ceiling = np.broadcast_to(np.round(e.saturation)[:, :, None, None, None], flagged.shape)
    assert (np.abs(movies.pixels[flagged] - ceiling[flagged]) <= 1).all()
    assert (movies.pixels <= ceiling + 1)[np.broadcast_to(movies.frame_mask[:, :, None, None, None], flagged.shape)].all()


@pytest.mark.parametrize("size", [15, 20, 31])
def test_any_stamp_size(size: int) -> None:
    movies = simulation("source=[galaxy]", f"stamp.size={size}").block("test", "galaxy", 0)
    assert movies.pixels.shape[3:] == (size, size)


def test_same_seed_same_bytes_whatever_the_workers(tmp_path: Path) -> None:
    config = compose("simulate", ["source=[supernova,galaxy]", "seed=7"])
    here = simulate_movies(config, "test", 130)
    one = tmp_path / "one"
    two = tmp_path / "two"
    simulate_to(config, "test", 130, one)
    simulate_to(config, "test", 130, two, options={"name": "processes", "workers": 2})
    names = sorted(path.name for path in one.glob("*.arrow"))
    assert names
    assert names == sorted(path.name for path in two.glob("*.arrow"))
    for name in names:
        assert (one / name).read_bytes() == (two / name).read_bytes()
    stored = MovieFolder(one).take(slice(None))
    order = np.argsort(stored.object_id)
    np.testing.assert_array_equal(stored.pixels[order], here.take(np.argsort(here.object_id)).pad(stored.pixels.shape[1]).pixels)


def test_an_object_does_not_depend_on_how_many_are_asked_for() -> None:
    config = compose("simulate", ["source=[rr_lyrae,supernova]", "seed=3"])
    few, many = simulate_movies(config, "test", 10), simulate_movies(config, "test", 70)
    place = {name: row for row, name in enumerate(many.object_id)}
    rows = [place[name] for name in few.object_id]
    width = max(few.pixels.shape[1], many.pixels.shape[1])
    np.testing.assert_array_equal(few.pad(width).pixels, many.pad(width).pixels[rows])


def test_seeds_and_splits_share_no_object() -> None:
    a = simulation("source=[non_variable]")
    b = simulation("source=[non_variable]", "seed=1")
    blocks = [a.block("x", "non_variable", 0), b.block("x", "non_variable", 0), a.block("y", "non_variable", 0)]
    blocks.append(a.block("x", "non_variable", 1))
    assert len({block.truth.params["mean_mag"].tobytes() for block in blocks}) == 4


def test_adding_a_class_under_another_label_adds_nothing_else() -> None:
    both = simulation("source=[rr_lyrae,non_variable]", "+source.short_period={name: rr_lyrae}")
    assert tuple(both.sources) == ("rr_lyrae", "non_variable", "short_period")
    np.testing.assert_array_equal(
        both.block("t", "rr_lyrae", 0).pixels, simulation("source=[rr_lyrae,non_variable]").block("t", "rr_lyrae", 0).pixels
    )


def test_output_is_refused_where_movies_are(tmp_path: Path) -> None:
    config = compose("simulate", ["source=[non_variable]"])
    simulate_to(config, "test", 3, tmp_path / "out")
    with pytest.raises(OutputError, match="already holds movies"):
        simulate_to(config, "test", 3, tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file"):
        simulate_to(config, "test", 3, tmp_path / "file")
    with pytest.raises(OutputError, match="can be written to"):
        simulate_to(config, "test", 3, tmp_path / "file" / "below")


def test_nothing_is_left_when_a_class_fails(tmp_path: Path) -> None:
    overrides = ["source=[non_variable,asteroid]", "source.asteroid.mag_min=29", "source.asteroid.mag_max=30", "simulation.max_rounds=2"]
    overrides += ["source.asteroid.mag_cut=40", "simulation.window=true"]
    with pytest.raises(SimulationError, match=r"detected objects of class 'asteroid'.*brighter or nearer"):
        simulate_to(compose("simulate", overrides), "test", 3, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (["stamp.size=3"], "stamp.size: 3; use a whole number of pixels"),
        (["simulation.centring=sideways"], "use one of per_frame, per_object, both"),
        (["simulation.sky_jitter=-1"], r"simulation.sky_jitter: -1.0; it must lie in \[0, 1\)"),
        (["+simulation.centering=both"], "simulation has no option 'centering'.*did you mean 'centring'"),
        (["simulation.min_images=many"], "simulation, option 'min_images'"),
        (["source=[]"], "name at least one"),
    ],
)
def test_options_out_of_range_are_named(overrides: list[str], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        simulation(*overrides)


def test_a_band_the_source_does_not_know_is_named() -> None:
    sim = simulation("source=[cepheid]", "survey.filters=[g]")
    source = sim.sources["cepheid"]
    type(source).bands, kept = ("r", "i"), type(source).bands
    try:
        with pytest.raises(BandError, match=r"source 'cepheid' in bands g: it knows r, i"):
            sim.block("test", "cepheid", 0)
    finally:
        type(source).bands = kept


@pytest.mark.parametrize(("name", "value"), [("sampling", "detections_only"), ("channels", ("science", "template", "difference"))])
def test_what_is_not_rendered_yet_is_refused(name: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(simulation().survey), name, value)
    with pytest.raises(SimulationError, match=r"survey 'hits': (sampling 'detections_only'|channels science, template, difference)"):
        simulation()


def test_a_lost_worker_is_a_simulation_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from skyreel.simulate import executors

    with pytest.raises(SimulationError, match="a worker died"), executors.executor({"name": "processes", "workers": 1}):
        raise BrokenProcessPool
    with pytest.raises(ConfigError, match="use inprocess or processes"), executors.executor({"name": "slurm"}):
        pass


def test_config_of_a_shard_rebuilds_the_set(tmp_path: Path) -> None:
    config = compose("simulate", ["source=[non_variable]", "seed=5"])
    simulate_to(config, "test", 3, tmp_path / "out")
    folder = MovieFolder(tmp_path / "out")
    again = simulate_movies(OmegaConf.create(folder.files[0].metadata["config"]), "test", 3)
    np.testing.assert_array_equal(again.pixels, folder.take(slice(None)).pixels)
