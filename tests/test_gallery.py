"""The gallery: its figures hold the data that they should, its movies are whole, its page is self-contained."""

import dataclasses
import io
import re
from pathlib import Path

import numpy as np
import pytest
from builders import movies as toy_movies
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image
from verb_runs import refused, skyreel

from skyreel.errors import ConfigError, DataError
from skyreel.evaluate.gallery_hosts import galaxies_of, host_figure
from skyreel.evaluate.gallery_movie import frame_titles, movie_figure, period_of, shown, smooth_magnitudes
from skyreel.evaluate.gallery_options import GalleryOptions
from skyreel.evaluate.gallery_paper import example_frame, light_curve_figure, magnitude_edges, magnitude_figure, pipeline_figure
from skyreel.evaluate.gallery_real import measured, star_twins
from skyreel.evaluate.gallery_sample import (
    SPLIT,
    Sample,
    chosen,
    contrast,
    gaps,
    sample,
    shown_movies,
    signal_to_noise,
    survey_exposures,
)
from skyreel.evaluate.gallery_sky import CONDITIONS, condition, percentiles, sky_figure
from skyreel.evaluate.gallery_stamps import animated, draw_strip, grey_scale, strip_of
from skyreel.hydra_glue import compose
from skyreel.light_curves import measure
from skyreel.movies import Movies
from skyreel.registry import typed
from skyreel.simulate.run import build, simulation_config
from skyreel.verbs.gallery import Gallery

OPTIONS = GalleryOptions()
CLASSES = ("rr_lyrae", "galaxy", "asteroid")


@pytest.fixture(scope="module")
def simulation():
    return build(simulation_config(compose("gallery", [f"source=[{','.join(CLASSES)}]", "sequence.max_images=12", "seed=3"])))


@pytest.fixture(scope="module")
def samples(simulation):
    return {label: sample(simulation, label, 128) for label in CLASSES}


@pytest.fixture(scope="module")
def items(simulation, samples):
    """Class -> the movie that is shown."""
    out = {}
    for label, (movies, rows) in shown_movies(simulation, samples, 1, "clear").items():
        params = {name: column[rows[:1]] for name, column in samples[label].params.items()}
        out[label] = shown(movies, 0, params, OPTIONS)
    return out


# ---------------------------------------------------------------------------------------------------- options


def test_the_config_file_shows_every_option_with_its_default() -> None:
    config = compose("gallery").gallery
    assert set(config) == {field.name for field in dataclasses.fields(GalleryOptions)}
    assert typed(GalleryOptions, config, "gallery") == GalleryOptions()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"per_class": 0}, "gallery.per_class: 0; use a whole number from 1 to 64"),
        ({"population": -5}, "gallery.population: -5; use a whole number from 1"),
        ({"pick": "best"}, "gallery.pick: 'best'; use one of clear, first"),
        ({"stretch": "log"}, "gallery.stretch: 'log'; use one of asinh, linear"),
        ({"low_percentile": 60.0, "high_percentile": 50.0}, "60.0 and 50.0; use two percentages, the lower one first"),
        ({"magnify": -1}, "gallery.magnify: -1"),
        ({"frame_time": 0.0}, "gallery.frame_time: 0.0; use 0.02 to 60 seconds"),
    ],
)
def test_options_out_of_range(change: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        GalleryOptions(**change)


# ---------------------------------------------------------------------------------------------------- samples


def test_magnitudes_are_those_of_the_source_under_the_true_conditions(simulation, samples) -> None:
    found = samples["rr_lyrae"]
    source, exposures = simulation.sources["rr_lyrae"], found.exposures
    expected = source.light_curve(found.params, exposures.mid_mjd, np.ones(exposures.shape, np.int8)).mag  # band 1 is g
    assert source.bands[1] == "g"
    np.testing.assert_allclose(found.mag[exposures.mask], expected[exposures.mask], atol=2e-5)
    assert np.isnan(found.mag[~exposures.mask]).all()
    medians = [np.median(row[mask]) for row, mask in zip(expected, exposures.mask, strict=True)]
    np.testing.assert_allclose(found.brightness(0), medians, atol=2e-5)
    spans = [np.ptp(row[mask]) for row, mask in zip(expected, exposures.mask, strict=True)]
    np.testing.assert_allclose(found.peak_to_peak(0), spans, atol=5e-5)


def test_classes_that_raise_alerts_count_with_their_brightest_magnitude_and_galaxies_with_their_total(samples) -> None:
    asteroids, galaxies = samples["asteroid"], samples["galaxy"]
    np.testing.assert_array_equal(asteroids.brightness(0), np.nanmin(asteroids.mag, axis=1))
    assert not galaxies.shines
    np.testing.assert_array_equal(galaxies.brightness(0), galaxies.host_mag[:, 0])
    assert np.isfinite(galaxies.brightness(0)).all()
    assert np.isnan(galaxies.peak_to_peak(0)).all()


def test_signal_to_noise_of_an_object_at_the_limit_is_five(samples) -> None:
    found = samples["rr_lyrae"]
    at_the_limit = dataclasses.replace(found, mag=np.where(found.exposures.mask, found.exposures.limiting_mag, np.nan))
    np.testing.assert_allclose(signal_to_noise(at_the_limit)[found.exposures.mask], 5)
    assert (signal_to_noise(at_the_limit)[~found.exposures.mask] == 0).all()


def test_contrast_of_a_constant_is_zero_and_of_a_single_flash_one(samples) -> None:
    found = samples["rr_lyrae"]
    constant = dataclasses.replace(found, mag=np.where(found.exposures.mask, 20.0, np.nan))
    assert (contrast(constant) == 0).all()
    assert (contrast(samples["asteroid"]) == 1).all()
    lit = contrast(found)
    np.testing.assert_allclose(lit, 1 - 10 ** (-0.4 * found.peak_to_peak(0)), rtol=1e-4)


def test_gaps_are_those_between_images_of_one_object(samples) -> None:
    exposures = samples["asteroid"].exposures
    expected = np.concatenate([np.diff(row[mask]) for row, mask in zip(exposures.mjd, exposures.mask, strict=True)])
    np.testing.assert_array_equal(gaps(exposures), expected)
    assert (expected > 0).all()


@given(number=st.integers(1, 64), seed=st.integers(0, 10**6), share=st.sampled_from([0.05, 0.5, 1.0]))
def test_chosen_objects_are_different_ones_in_order_of_contrast(number: int, seed: int, share: float) -> None:
    found = _random_sample(seed, share)
    rows = chosen(found, number, "clear")
    assert len(set(rows.tolist())) == number
    assert 0 <= rows.min() <= rows.max() < 64
    assert (np.diff(contrast(found)[rows]) >= 0).all()
    np.testing.assert_array_equal(chosen(found, number, "first"), np.arange(number))


def test_the_object_shown_alone_is_clear_long_and_of_typical_contrast() -> None:
    found = _random_sample(1, 0.05)
    signal, frames = signal_to_noise(found)[:64].max(axis=1), found.exposures.mask[:64].sum(axis=1)
    eligible = (signal >= 40) & (signal <= 400) & (frames >= np.median(frames)) & ~found.host[:64]
    assert 5 < eligible.sum() < 40, "the test needs some of both"
    row = chosen(found, 1, "clear")[0]
    assert eligible[row]
    ranks = np.sort(contrast(found)[:64][eligible])
    assert contrast(found)[row] == ranks[len(ranks) // 2]


def _random_sample(seed: int, share: float) -> Sample:
    """128 objects of all magnitudes; ties of contrast among them."""
    from skyreel.interfaces import HostPolicy

    rng = np.random.default_rng(seed)
    movies = toy_movies(128, 8, seed)
    exposures = movies.reported.replace(limiting_mag=np.full(movies.reported.shape, 23.7))
    mag = rng.uniform(17, 24, (128, 1)) + rng.choice([0.0, 0.1, 1.0], (128, 1)) * rng.random((128, 8))
    host = rng.random(128) < share
    return Sample(
        "rr_lyrae",
        False,
        exposures,
        np.where(exposures.mask, mag, np.nan),
        {},
        host,
        np.full((128, 1), np.nan),
        np.full(128, np.nan),
        HostPolicy(share),
        {},
    )


def test_what_is_shown_does_not_depend_on_how_many_are_drawn(simulation, samples, items) -> None:
    few = sample(simulation, "rr_lyrae", 1)
    assert len(few) == 64
    np.testing.assert_array_equal(few.mag, samples["rr_lyrae"].mag[:64, : few.mag.shape[1]])
    assert chosen(few, 1, "clear") == chosen(samples["rr_lyrae"], 1, "clear")


# ----------------------------------------------------------------------------------------------- stamps, movies


def _with_gap() -> Movies:
    """Six frames of 9 x 9 px: the third cannot be used, pixel (1, 2) of the first is bad, (4, 4) of the second saturated."""
    movies = toy_movies(1, 6, 4)
    mask = np.array([[True, True, False, True, True, True]])
    rng = np.random.default_rng(0)
    bits = np.zeros(movies.pixel_mask.shape, np.uint8)
    bits[0, 0, 0, 1, 2], bits[0, 1, 0, 4, 4] = 2, 1
    pixels = rng.integers(0, 4000, movies.pixels.shape).astype(np.uint16)
    return dataclasses.replace(
        movies, frame_mask=mask, reported=movies.reported.replace(mask=np.ones((1, 6), bool)), pixels=pixels, pixel_mask=bits
    )


def _rim(image: np.ndarray) -> float:
    inner = np.zeros(image.shape, bool)
    inner[1:-1, 1:-1] = True
    return float(np.median(image[~inner]))


def test_the_strip_shows_the_pixels_as_they_are() -> None:
    movies = _with_gap()
    strip = strip_of(movies, 0, OPTIONS)
    axes = Figure().add_subplot()
    draw_strip(axes, strip, [f"frame {k}" for k in range(6)], columns=4)
    pictures = [image for image in axes.images if image.get_array().ndim == 2]
    used = [0, 1, 3, 4, 5]
    assert len(pictures) == 5
    for picture, frame in zip(pictures, used, strict=True):
        pixels = movies.pixels[0, frame, 0].astype(float)
        shown_pixels = np.ma.filled(picture.get_array(), np.nan)
        good = np.isfinite(shown_pixels)
        assert (~good == (movies.pixel_mask[0, frame, 0] == 2)).all()
        if frame > 0:  # the bad pixel of frame 0 lies inside the rim
            np.testing.assert_allclose(shown_pixels[good] + _rim(pixels), pixels[good])
        np.testing.assert_allclose(np.diff(shown_pixels[good]), np.diff(pixels[good]))
        assert picture.norm is strip.norm, "one grey scale for the whole movie"
        assert picture.origin == "lower"
    overlays = [image.get_array() for image in axes.images if image.get_array().ndim == 3]
    assert len(overlays) == 1
    assert np.argwhere(overlays[0][..., 3] > 0).tolist() == [[4, 4]], "the saturated pixel is marked"
    blanks = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert len(blanks) == 1, "the frame that cannot be used is an empty box"
    assert blanks[0].get_x() == pytest.approx(3 - 0.47)
    assert [text.get_text() for text in axes.texts] == [f"frame {k}" for k in range(6)]


@pytest.mark.parametrize("stretch", ["asinh", "linear"])
def test_the_grey_scale_lies_between_the_percentiles_asked_for(stretch: str) -> None:
    stamps = np.random.default_rng(1).normal(0, 5, (4, 21, 21))
    stamps[2, 10, 10] = np.nan
    stamps[1, 9:12, 9:12] = 900.0
    norm = grey_scale(stamps, GalleryOptions(stretch=stretch, low_percentile=2, high_percentile=99.8))
    seen = stamps[np.isfinite(stamps)]
    assert (norm.vmin, norm.vmax) == pytest.approx(tuple(np.percentile(seen, [2, 99.8])))
    middle = float(norm(0.5 * (norm.vmin + norm.vmax)))
    assert middle == pytest.approx(0.5) if stretch == "linear" else middle > 0.6


def test_noise_alone_does_not_fill_the_grey_scale_and_nothing_to_see_is_no_error() -> None:
    noise = np.random.default_rng(1).normal(0, 5, (4, 21, 21))
    norm = grey_scale(noise, GalleryOptions(low_percentile=40, high_percentile=60))
    assert norm.vmax - norm.vmin >= 5 * 4.5
    assert grey_scale(np.full((2, 5, 5), np.nan), OPTIONS).vmax > 0


def test_the_gif_holds_every_frame_on_the_common_scale() -> None:
    movies = _with_gap()
    strip = strip_of(movies, 0, OPTIONS)
    titles = [f"frame {k}\nsecond line" for k in range(6)]
    data = animated(strip, titles, GalleryOptions(magnify=4, frame_time=0.5))
    assert data == animated(strip, titles, GalleryOptions(magnify=4, frame_time=0.5))
    picture = Image.open(io.BytesIO(data))
    assert picture.n_frames == 6
    assert picture.info["duration"] == 500
    assert picture.info["loop"] == 0
    for frame in range(6):
        picture.seek(frame)
        colours = np.asarray(picture.convert("RGB")).astype(int)
        left = (colours.shape[1] - 36) // 2
        stamp = colours[-36:, left : left + 36][::4, ::4][::-1]  # the first row of pixels lies at the bottom
        grey = 255 * np.clip(np.asarray(strip.norm(np.nan_to_num(strip.stamps[frame]))), 0, 1)
        plain = np.isfinite(strip.stamps[frame]) & ~strip.saturated[frame]
        if frame == 2:
            assert (stamp == stamp[0, 0]).all(), "blank"
            continue
        np.testing.assert_allclose(stamp[plain], np.repeat(grey[plain][:, None], 3, axis=1), atol=1.1)
        assert all(len(set(colour.tolist())) > 1 for colour in stamp[~plain]), "bad and saturated pixels are no greys"


def test_a_gif_is_as_wide_as_its_title_and_a_stamp_about_250_px() -> None:
    strip = strip_of(_with_gap(), 0, OPTIONS)
    picture = Image.open(io.BytesIO(animated(strip, [str(k) for k in range(6)], OPTIONS)))
    assert picture.size[0] == 9 * (250 // 9)
    long = Image.open(io.BytesIO(animated(strip, [f"{k} " + "long " * 30 for k in range(6)], GalleryOptions(magnify=1))))
    assert long.size[0] > 400


def test_no_two_frames_have_the_same_title(items) -> None:
    for item in items.values():
        titles = frame_titles(item)
        assert len(set(titles)) == len(titles) == int(item.usable.sum())
        assert f"MJD {item.movies.reported.mjd[0, 0]:.5f}" in titles[0]
        assert "band g" in titles[0]


def test_the_sheet_draws_the_measured_flux_with_its_errors(items, simulation) -> None:
    item = items["rr_lyrae"]
    figure = movie_figure(item, simulation.sources["rr_lyrae"]).figure
    axes = next(panel for panel in _panels(figure) if panel.get_ylabel().startswith("flux"))
    curve = measure(item.movies)
    mask = curve.mask[0]
    bars = np.array(axes.containers[0].lines[2][0].get_segments())  # (K, 2, 2): low and high end of each error bar
    np.testing.assert_array_equal(bars[:, 0, 0], np.flatnonzero(mask) + 1)
    np.testing.assert_allclose(bars[:, :, 1].mean(axis=1), curve.flux[0, mask])
    np.testing.assert_allclose(np.diff(bars[:, :, 1], axis=1)[:, 0] / 2, curve.error[0, mask])
    true = next(line for line in axes.lines if line.get_label() == "true")
    exposures, truth = item.movies.truth.exposures, item.movies.truth
    mag = exposures.zero_point[0] - 2.5 * np.log10(truth.flux[0] / exposures.exptime[0])  # eq. 1
    np.testing.assert_allclose(true.get_ydata(), 10 ** (-0.4 * (mag[item.usable] - 25)), rtol=1e-5)


def test_the_sheet_draws_the_reported_conditions(items, simulation) -> None:
    item = items["asteroid"]
    panels = _panels(movie_figure(item, simulation.sources["asteroid"]).figure)
    for name, label in (("seeing", "seeing"), ("sky", "sky"), ("zero_point", "zero point")):
        axes = next(panel for panel in panels if panel.get_ylabel().startswith(label))
        points = np.concatenate([line.get_ydata() for line in axes.lines])
        np.testing.assert_array_equal(points, getattr(item.movies.reported, name)[0][item.usable])
    pictures = [image for image in panels[0].images if image.get_array().ndim == 2]
    assert len(pictures) == len(item.strip) == int(item.usable.sum())


def test_noiseless_magnitudes_at_the_images_lie_on_the_smooth_curve(items, simulation) -> None:
    item = items["rr_lyrae"]
    period = period_of(item)
    assert period is not None
    days, mag = smooth_magnitudes(simulation.sources["rr_lyrae"], item, "g")
    assert days[-1] == pytest.approx(period)
    at = item.days[item.usable] % period
    true = 25 - 2.5 * np.log10(item.truth[item.usable])
    np.testing.assert_allclose(np.interp(at, days, mag), true, atol=0.02)


def test_a_galaxy_has_a_sheet_without_a_light_curve(items, simulation) -> None:
    item = items["galaxy"]
    assert (item.truth == 0).all()
    panels = _panels(movie_figure(item, simulation.sources["galaxy"]).figure)
    assert any(text.get_text() == "no light of its own" for axes in panels for text in axes.texts)


def _panels(figure: Figure) -> list:
    figure.canvas.draw()
    return list(figure.axes)


# ------------------------------------------------------------------------------------------ figures of the paper


def test_figure_1_holds_the_density_of_each_classes_magnitudes(samples) -> None:
    (axes,) = magnitude_figure(samples).figure.axes
    steps = {patch.get_label().split(" (")[0]: patch.get_data() for patch in axes.patches}
    assert list(steps) == ["RR Lyrae", "galaxy", "asteroid"]
    for name, label in (("rr_lyrae", "RR Lyrae"), ("galaxy", "galaxy"), ("asteroid", "asteroid")):
        values, edges, _ = steps[label]
        np.testing.assert_allclose(values, np.histogram(samples[name].brightness(0), edges, density=True)[0])
        assert (values * np.diff(edges)).sum() == pytest.approx(1)


def test_magnitudes_of_a_sky_without_light_are_refused() -> None:
    with pytest.raises(DataError, match="no object gives light; choose classes that can be seen"):
        magnitude_edges([np.full(3, np.nan)])


def test_figure_2_shows_each_class_with_light_at_its_images(items, simulation) -> None:
    panels = [axes for axes in light_curve_figure(items, simulation.sources).figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in panels] == ["RR Lyrae, g", "asteroid, g"]
    for axes, name in zip(panels, ("rr_lyrae", "asteroid"), strict=True):
        item = items[name]
        lit = item.usable & (item.truth > 0)
        points = next(line for line in axes.lines if line.get_label() == "g")
        np.testing.assert_allclose(points.get_ydata(), 25 - 2.5 * np.log10(item.truth[lit]))
        period = period_of(item)
        np.testing.assert_allclose(points.get_xdata(), item.days[lit] if period is None else item.days[lit] / period % 1)
        assert axes.yaxis_inverted()
        seen = item.usable & (item.curve.snr[0] >= 2)
        measured_points = axes.containers[0].lines[0]
        np.testing.assert_allclose(measured_points.get_ydata(), item.curve.magnitudes()[0][0, seen])


def test_figure_2_needs_light(items, simulation) -> None:
    with pytest.raises(DataError, match="no object gives light of its own; leave the figure out"):
        light_curve_figure({"galaxy": items["galaxy"]}, simulation.sources)


def test_figure_3_adds_up_to_the_stored_image(samples, simulation) -> None:
    label, row, frame = example_frame(simulation, samples)
    figure = pipeline_figure(simulation, samples).figure
    source, host, both, expected, noisy = (np.asarray(axes.images[0].get_array()) for axes in figure.axes[:5])
    movies = simulation.block(SPLIT, label, 0)
    np.testing.assert_array_equal(noisy, movies.pixels[row, frame, 0])
    np.testing.assert_allclose(both, source + host, rtol=1e-6)
    np.testing.assert_allclose(expected - both, movies.truth.exposures.sky[row, frame], rtol=1e-5)
    assert movies.truth.host[row]
    assert host.sum() > 0
    flux = movies.truth.flux[row, frame]
    assert 0.6 * flux < source.sum() <= 1.001 * flux, "nearly all of the light falls into the stamp"
    gain = movies.truth.exposures.gain[row, frame]
    noise = np.hypot(np.sqrt(expected / gain), movies.truth.exposures.read_noise[row, frame] / gain)
    assert np.abs((noisy - expected) / noise).max() < 6
    assert ((noisy - expected) / noise).std() == pytest.approx(1, abs=0.15)


# --------------------------------------------------------------------------------------------- population sheets


def test_the_sky_sheet_draws_percentiles_and_conditions(samples, simulation) -> None:
    exposures = survey_exposures(simulation, 64)
    panels = {axes.get_title(loc="left"): axes for axes in sky_figure(samples, exposures).figure.axes}
    assert len(panels) == 12
    low, left, middle, right, high = percentiles(samples["rr_lyrae"].brightness(0))
    lines = panels["magnitude"].lines[:3]
    np.testing.assert_allclose([*lines[0].get_xdata(), *lines[1].get_xdata(), *lines[2].get_xdata()], [low, high, left, right, middle])
    bars = [bar.get_width() for bar in panels["with a galaxy in the stamp"].patches]
    np.testing.assert_allclose(bars, [samples[name].host.mean() for name in CLASSES])
    assert bars[CLASSES.index("galaxy")] == 1
    for heading, _, values in CONDITIONS:
        (steps,) = panels[heading].patches
        shares, edges, _ = steps.get_data()
        seen = values(exposures)
        np.testing.assert_allclose(shares, np.histogram(seen, edges)[0] / len(seen))
        assert 0.99 <= shares.sum() <= 1
    assert [text.get_text() for text in panels["redshift of the source"].texts] == ["none"]
    assert len(condition("seeing")(exposures)) == exposures.mask.sum()


def test_conditions_of_several_bands_are_kept_apart(samples) -> None:
    config = compose("gallery", ["source=[rr_lyrae]", "survey.filters=[g,r]"])
    exposures = survey_exposures(build(simulation_config(config)), 64)
    axes = next(axes for axes in sky_figure(samples, exposures).figure.axes if axes.get_title(loc="left") == "sky")
    assert [patch.get_label() for patch in axes.patches] == ["g", "r"]


def test_galaxies_are_joined_by_the_law_that_places_them(samples) -> None:
    groups = galaxies_of(samples)
    assert [(group.labels, group.offset) for group in groups] == [(("rr_lyrae", "asteroid"), "chance"), (("galaxy",), "centre")]
    chance = groups[0]
    both = [samples[name] for name in chance.labels]
    expected = np.concatenate([part.host_mag[part.host, 0] for part in both])
    np.testing.assert_array_equal(chance.values["magnitude in g"], expected)
    assert chance.name == f"chance alignments (RRL, Ast): {len(expected)}"
    distance = chance.values['distance from the source ["]']
    assert distance.max() <= np.sqrt(2) * 0.5 * 21 * 0.27 + 1e-9, "within the stamp"
    drawing = host_figure(samples)
    assert drawing is not None
    assert len(drawing.figure.legends[0].get_texts()) == 2


def test_without_galaxies_there_is_no_sheet_of_galaxies(samples) -> None:
    bare = dataclasses.replace(samples["rr_lyrae"], host=np.zeros(128, bool))
    assert host_figure({"rr_lyrae": bare}) is None


# ---------------------------------------------------------------------------------------------------- the verb

SMALL = (
    "gallery",
    "source=[non_variable]",
    "+source@source.moving=asteroid",
    "source.non_variable.host_fraction=0",
    "source.moving.host_fraction=0",  # no galaxy, and one figure less
    "sequence.max_images=7",
    "gallery.population=64",
    "seed=2",
)
SLUGS = ("figure1_magnitudes", "figure2_light_curves", "figure3_simulation", "movie_non_variable", "movie_moving", "sky")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Path:
    """A folder with the gallery of two classes drawn twice: into `named`, and into the run's folder `run` over an older one."""
    folder = tmp_path_factory.mktemp("gallery")
    for place, name in (("figures", "movie_older.png"), ("movies", "movie_older.gif")):
        (folder / "run" / place).mkdir(parents=True)
        (folder / "run" / place / name).write_bytes(b"older")
    for where in (("output=named",), ("hydra.run.dir=run",)):
        done = skyreel(*SMALL, *where, cwd=folder)
        assert done.code == 0, done.err + done.out
        assert f"6 figures: {folder / 'run' if 'hydra' in where[0] else 'named'}/index.html" in done.out
    return folder


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_every_class_has_its_figure_and_movie(drawn: Path) -> None:
    movies = {f"movies/movie_{name}.gif" for name in ("non_variable", "moving")}
    figures = {f"figures/{slug}.{end}" for slug in SLUGS for end in ("png", "pdf")}
    assert set(_files(drawn / "named")) == {"index.html", *figures, *movies}
    for name in movies:
        assert 5 <= Image.open(drawn / "named" / name).n_frames <= 7


def test_the_same_seed_gives_the_same_bytes_and_an_older_gallery_goes(drawn: Path) -> None:
    first, second = _files(drawn / "named"), _files(drawn / "run")
    own = {name for name in second if not name.startswith((".hydra", "run.json", "config.yaml", "gallery.log"))}
    assert own == set(first)
    assert {name: second[name] for name in own} == first
    assert "run.json" in second


def test_the_page_lists_everything_and_loads_nothing(drawn: Path) -> None:
    html = (drawn / "named" / "index.html").read_text()
    assert tuple(re.findall(r'<figure id="([^"]+)">', html)) == SLUGS
    sources = re.findall(r'\b(?:src|href)="([^"]{0,20})', html)
    assert len(sources) == 6 + 2
    assert all(source.startswith("data:image/") for source in sources)
    assert "<script" not in html
    assert not re.search(r"url\(|@import", html)
    assert all(len(alt) > 20 for alt in re.findall(r'alt="([^"]*)"', html))
    assert html.count("<img") == html.count("alt=")
    assert html.count("Play this movie") == 2
    assert "prefers-color-scheme: dark" in html
    assert "gallery-moving-" in html
    assert "population: 64" in html, "the config is part of the page"
    assert "<td>seed</td><td>2</td>" in html


def test_more_movies_of_a_class_have_numbered_names(simulation, samples, items) -> None:
    two = {"galaxy": [items["galaxy"], items["galaxy"]]}
    gallery = Gallery(simulation, OPTIONS, {"galaxy": samples["galaxy"]}, two, None)
    slugs = [plate.slug for plate in gallery.plates()]
    assert slugs == ["figure1_magnitudes", "figure3_simulation", "movie_galaxy", "movie_galaxy_2", "sky", "hosts"], "no light, no figure 2"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["source=[]"], ["source: no class", "name at least one"]),
        (["gallery.per_class=0"], ["gallery.per_class", "use a whole number from 1 to 64"]),
        (["gallery.population=-3"], ["gallery.population", "-3"]),
        (["gallery.populatoin=3"], ["no option 'populatoin'", "population"]),
        (["gallery.per_class=many"], ["per_class"]),
        (["gallery=3"], ["gallery: 3", "give options by name"]),
        (["output=file"], ["output=file", "it is a file"]),
        (["output=full"], ["output=full", "it holds precious.txt", "choose a new folder"]),
        (["output=file/below"], ["output=file/below", "can be written to"]),
        (["dataset=hits2015a", "dataset.path=nowhere"], ["hits2015a", "no folder nowhere"]),
    ],
)
def test_wrong_input_is_refused_before_any_work(overrides: list[str], words: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious.txt").write_text("mine")
    done = skyreel("gallery", "source=[non_variable]", *overrides, cwd=tmp_path)
    refused(done, *words)
    assert "drawing" not in done.out
    assert (tmp_path / "file").read_text() == (tmp_path / "full" / "precious.txt").read_text() == "mine"


# ---------------------------------------------------------------------------------------------------- real objects


@pytest.mark.real_data
def test_real_objects_stand_beside_the_simulated_ones(data_dir: Path, samples, items, simulation) -> None:
    from skyreel.datasets import load_dataset

    real = measured(load_dataset("hits2015a", path=data_dir / "hits2015a"))
    upper, lower = magnitude_figure(samples, real).figure.axes
    assert [patch.get_label() for patch in lower.patches] == ["RR Lyrae (67)", "eclipsing binary (46)", "non-variable (296)"]
    assert upper.get_xlim() == lower.get_xlim()
    drawing = light_curve_figure(items, simulation.sources, real)
    panels = [axes for axes in drawing.figure.axes if axes.get_title(loc="left").startswith("real ")]
    assert [axes.get_title(loc="left") for axes in panels] == [
        "real supernova",
        "real RR Lyrae",
        "real eclipsing binary",
        "real non-variable",
    ]
    row = real.typical("rr_lyrae")
    assert str(real.movies.object_id[row]) in drawing.caption
    mags, _ = real.curves.magnitudes()
    points = panels[1].containers[0].lines[0]
    np.testing.assert_array_equal(points.get_ydata(), mags[row][np.isfinite(mags[row])])
    seeing = next(
        axes for axes in sky_figure(samples, survey_exposures(simulation, 64), real).figure.axes if axes.get_title(loc="left") == "seeing"
    )
    shares, edges, _ = seeing.patches[1].get_data()
    seen = real.exposures.seeing[real.exposures.mask]
    np.testing.assert_allclose(shares, np.histogram(seen, edges)[0] / len(seen))


@pytest.mark.real_data
def test_twins_have_the_stars_dates_and_brightness(data_dir: Path, simulation) -> None:
    from skyreel.datasets import load_dataset

    real = measured(load_dataset("hits2015a", path=data_dir / "hits2015a"))
    assert star_twins(real, simulation, 3) is None, "no class non_variable is simulated"
    twins = star_twins(real, build(simulation_config(compose("gallery", ["source=[non_variable]"]))), 3)
    assert twins is not None
    assert len(twins) == 3
    assert (np.diff(twins.mag) > 0).all()
    assert twins.real.shape == twins.twin.shape
    for k in range(3):
        row = int(np.flatnonzero(real.movies.object_id == twins.object_id[k])[0])
        frames = real.exposures.mask[row]
        np.testing.assert_array_equal(twins.mjd[k, : frames.sum()], real.movies.reported.mid_mjd[row, frames])
        level = real.movies.reported.sky[row, frames, None, None]
        stamps = twins.real[k, : frames.sum()]
        good = np.isfinite(stamps)
        np.testing.assert_allclose((stamps + level)[good], real.movies.pixels[row, frames, 0][good], atol=0.01)
        total = [np.nansum(part[k, : frames.sum()], axis=(1, 2)) for part in (twins.real, twins.twin)]
        assert np.median(total[1]) / np.median(total[0]) == pytest.approx(1, abs=0.15)
