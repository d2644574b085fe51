"""Which objects a report shows, what is kept of them, and the twins that are simulated beside them."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from exhibit_toys import REAL, Guess, exhibits, scored_movies
from hypothesis import given
from hypothesis import strategies as st
from rcnn_toys import Store
from scored_toys import outcomes, random_outcomes

from skyreel.datasets import load_dataset
from skyreel.errors import BandError, ConfigError, DataError, OutputError, SimulationError
from skyreel.evaluate.exhibits import FEATURES, choose, collect, collect_and_write, read_exhibits, write_exhibits
from skyreel.evaluate.exhibits_parts import EXHIBITS, Exhibits
from skyreel.evaluate.predict import outcomes_of
from skyreel.features import compute
from skyreel.hydra_glue import compose
from skyreel.light_curves import measure
from skyreel.movies import Movies
from skyreel.sequences import alert_window
from skyreel.simulate.chain import Simulation
from skyreel.simulate.run import build, simulation_config
from skyreel.simulate.twins import twin
from skyreel.testing.toys import toy_exposures, toy_movies

PARTS = ("shown", "twins", "curves", "cost")


def same(a: Exhibits, b: Exhibits, parts: tuple[str, ...] = PARTS) -> None:
    for part in parts:
        for item in fields(getattr(a, part)):
            left, right = (np.asarray(getattr(getattr(x, part), item.name)) for x in (a, b))
            assert left.dtype == right.dtype, (part, item.name)
            np.testing.assert_array_equal(left, right, err_msg=f"{part}.{item.name}")


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    quiet = ["psf=moffat", "simulation=paper", "simulation.centring=both"]  # no neighbours, the reported conditions are the true ones
    return build(simulation_config(compose("simulate", ["source=[supernova,rr_lyrae,non_variable]", "stamp.size=11", *quiet])))


@pytest.fixture(scope="module")
def movies() -> Movies:
    return scored_movies()


@pytest.fixture(scope="module")
def made(movies, simulation) -> Exhibits:
    classifier = Guess(movies)
    scored = outcomes_of(classifier, movies, "paper")
    simulated = replace(toy_movies(70, 7, REAL, size=11, seed=8), object_id=np.array([f"simulated-{k}" for k in range(70)]))
    return collect(classifier, movies, scored, data="toys", protocol="paper", simulation=simulation, simulated=simulated, seed=5)


def test_supernovae_at_the_quartiles_and_the_middle_object_of_every_other_class() -> None:
    part = random_outcomes(2, 300, 5)
    chosen = choose(part)
    own = part.last()[np.arange(300), part.truth]
    ranked = np.sort(own[part.label == "supernova"])
    assert own[chosen["supernova"]] == pytest.approx(np.quantile(ranked, [0.25, 0.5, 0.75], method="nearest"), abs=0.02)
    assert part.label[chosen["typical"]].tolist() == [name for name in part.classes if name != "supernova"]
    for row in chosen["typical"]:
        members = own[part.label == part.label[row]]
        assert (members < own[row]).sum() in ((len(members) - 1) // 2, len(members) // 2)  # an even number has two in the middle


def test_failures_are_the_surest_wrong_ones_three_a_class() -> None:
    # five supernovae taken for RR Lyrae, ever surer; one galaxy likewise; the right ones do not enter
    part = outcomes([[1]] * 6 + [[0], [2]], ["supernova"] * 5 + ["galaxy", "supernova", "galaxy"])
    sure = np.array([0.5, 0.6, 0.9, 0.8, 0.7, 0.65, 0.99, 0.99], np.float32)
    part.probabilities[:6, 0] = np.stack([(1 - sure[:6]) / 2, sure[:6], (1 - sure[:6]) / 2], axis=1)
    assert choose(part)["failure"].tolist() == [2, 3, 4, 5]


@given(seed=st.integers(0, 10_000))
def test_the_choice_does_not_depend_on_the_order(seed: int) -> None:
    part = random_outcomes(seed, 60, 4)
    order = np.random.default_rng(seed).permutation(60)
    mixed = part.take(order)
    for why, rows in choose(part).items():
        assert part.object_id[rows].tolist() == mixed.object_id[choose(mixed)[why]].tolist()
        assert len(set(rows.tolist())) == len(rows)


def test_shown_objects_carry_the_frames_that_were_scored(made, movies) -> None:
    scored = outcomes_of(Guess(movies), movies, "paper")
    assert set(made.shown.why) == {"supernova", "failure", "typical"}
    for row in range(len(made.shown)):
        at = int(np.flatnonzero(movies.object_id == made.shown.object_id[row])[0])
        window = alert_window(movies.take([at]), Guess(movies).task.sequence)
        images = int(scored.n_images[at])
        assert np.isfinite(made.shown.mjd[row]).sum() == images == window.frame_mask.sum()
        counts = window.pixels[0, :images, 0] - window.reported.sky[0, :images, None, None]
        good = window.pixel_mask[0, :images, 0] == 0
        assert made.shown.stamps[row, :images][good] == pytest.approx(counts[good], abs=0.051)
        assert np.isnan(made.shown.stamps[row, :images][~good]).all()
        np.testing.assert_array_equal(made.shown.probabilities[row, :images], scored.probabilities[at, :images])
        assert np.isnan(made.shown.probabilities[row, images:]).all()
        curve = measure(window)
        assert made.shown.flux[row, :images] == pytest.approx(curve.flux[0, :images], rel=1e-6)
        assert made.shown.alert[row] == (0 if window.first_detection[0] < 0 else window.first_detection[0] + 1)
        assert (~good).sum() == 1  # of the toys' frame 5
    assert (made.shown.alert[made.shown.label == "supernova"] > 0).all()


def test_features_of_figure_14_are_those_of_the_cut_light_curves(made, movies) -> None:
    assert made.curves.real.sum() == len(movies)
    assert (~made.curves.real).sum() == 70
    curve = measure(alert_window(movies, Guess(movies).task.sequence))
    wanted = compute(curve.mjd, curve.flux, curve.error, curve.mask, names=FEATURES)
    np.testing.assert_allclose(made.curves.values[made.curves.real], wanted, rtol=1e-9)
    assert made.curves.label[made.curves.real].tolist() == movies.label.tolist()


def test_the_augmented_set_has_ten_of_each_class_or_those_that_are_named(made, movies) -> None:
    chosen = made.curves.label[made.curves.labelled]
    assert {name: int((chosen == name).sum()) for name in REAL} == dict.fromkeys(REAL, 10)
    assert not (made.curves.labelled & ~made.curves.real).any()
    classifier = Guess(movies)
    scored = outcomes_of(classifier, movies, "paper")
    named = collect(classifier, movies, scored, data="toys", protocol="paper", labelled=["toy-3", "toy-5"])
    assert np.flatnonzero(named.curves.labelled).tolist() == [3, 5]
    assert named.curves.real.all()
    assert not len(named.twins)


@pytest.mark.parametrize("protocol", ["label_blind", "length_matched_first", "length_matched_last"])
def test_every_protocol_is_cut_again_as_it_was_scored(protocol, movies) -> None:
    classifier = Guess(movies)
    scored = outcomes_of(classifier, movies, protocol, seed=3)
    found = collect(classifier, movies, scored, data="toys", protocol=protocol, protocol_seed=3)
    assert (np.isfinite(found.shown.mjd) == np.isfinite(found.shown.probabilities[..., 0])).all()


def test_neither_the_order_of_outcomes_nor_the_kind_of_store_matters(movies, simulation) -> None:
    classifier = Guess(movies)
    scored = outcomes_of(classifier, movies, "paper")
    order = np.random.default_rng(0).permutation(len(scored))
    arguments = {"data": "toys", "protocol": "paper", "simulation": simulation, "seed": 1}
    plain = collect(classifier, movies, scored, **arguments)
    mixed = collect(classifier, Store(movies), scored.take(order), **arguments)
    same(plain, mixed, ("shown", "twins"))
    np.testing.assert_array_equal(plain.curves.values[order], mixed.curves.values)
    np.testing.assert_array_equal(plain.curves.labelled[order], mixed.curves.labelled)


def test_what_does_not_fit_the_outcomes_is_refused(movies) -> None:
    classifier = Guess(movies)
    scored = outcomes_of(classifier, movies, "paper")
    with pytest.raises(DataError, match=r"under protocol 'label_blind'.*images, .* were scored; hand in the protocol and seed"):
        collect(classifier, movies, scored, data="toys", protocol="label_blind")
    with pytest.raises(DataError, match="object 'toy-7'.*not among the movies"):
        collect(classifier, movies.take(np.arange(48) != 7), scored, data="toys", protocol="paper")
    classifier.task = None
    with pytest.raises(DataError, match="neither trained nor loaded"):
        collect(classifier, movies, scored, data="toys", protocol="paper")


def test_cost_counts_what_was_timed(made, movies) -> None:
    window = alert_window(movies, Guess(movies).task.sequence)
    assert (made.cost.objects, made.cost.images) == (48, int(window.frame_mask.sum()))
    assert made.cost.seconds > 0
    assert made.cost.yardstick > 0


def test_exhibits_survive_the_file_and_are_small(made, tmp_path: Path) -> None:
    write_exhibits(tmp_path / "a.npz", made)
    found = read_exhibits(tmp_path / "a.npz")
    same(made, found)
    assert (found.model, found.data, found.protocol, found.classes) == ("Guess", "toys", "paper", made.classes)
    assert isinstance(found.cost.objects, int)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert not [name for name in file.files if file[name].dtype == object]
    write_exhibits(tmp_path / "b.npz", made)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    # 20 objects of 22 images of 21 x 21 px of pure noise stay below 3 MB
    noise = np.random.default_rng(0).normal(0, 300, (20, 22, 21, 21)).round(1).astype(np.float32)
    wide = exhibits(20, 21)
    shown = {item.name: np.repeat(getattr(wide.shown, item.name), 5, axis=0) for item in fields(wide.shown)}
    write_exhibits(tmp_path / "c.npz", replace(wide, shown=replace(wide.shown, **{**shown, "stamps": noise})))
    assert (tmp_path / "c.npz").stat().st_size < 3e6


def test_collect_and_write_writes_into_the_runs_folder(movies, tmp_path: Path) -> None:
    classifier = Guess(movies)
    scored = outcomes_of(classifier, movies, "paper")
    found = collect_and_write(tmp_path, classifier, movies, scored, data="toys", protocol="paper")
    same(found, read_exhibits(tmp_path / EXHIBITS))
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="writing"):
        write_exhibits(tmp_path / "file" / "x.npz", found)


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    write_exhibits(tmp_path / "good.npz", exhibits())
    data = (tmp_path / "good.npz").read_bytes()
    (tmp_path / "short.npz").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.npz").write_text("nothing of the kind")
    np.savez(tmp_path / "foreign.npz", a=np.zeros(3))
    np.savez(tmp_path / "pickle.npz", model=np.array([{"a": 1}], dtype=object))
    for name in ("short", "text", "foreign", "pickle", "missing"):
        with pytest.raises(DataError, match=rf"exhibits .*{name}.npz: not readable .*run `skyreel evaluate` again"):
            read_exhibits(tmp_path / f"{name}.npz")


def test_a_twin_has_the_dates_conditions_and_flux_of_its_star(simulation) -> None:
    conditions = toy_exposures(1, 12)
    conditions = conditions.replace(mask=np.arange(12)[None] != 4)
    found = twin(simulation, conditions, "non_variable", 19.0, name="a star", n=200)
    keep = np.arange(12) != 4
    assert found.reported.mjd == pytest.approx(np.tile(conditions.mjd[:, keep], (200, 1)))
    assert found.frame_mask.shape == (200, 11)
    assert found.frame_mask.all()
    assert (found.label == "non_variable").all()
    assert len(set(found.object_id)) == 200
    assert (found.first_detection == -1).all()
    # eq. 1 of the paper
    counts = conditions.exptime * 10 ** (-0.4 * (19.0 - conditions.zero_point))
    assert found.truth.flux == pytest.approx(np.tile(counts[:, keep], (200, 1)), rel=1e-5)
    assert not found.truth.host.any()
    curve = measure(found)
    assert np.median(25 - 2.5 * np.log10(curve.flux)) == pytest.approx(19, abs=0.02)


def test_a_twin_has_the_sky_and_noise_of_its_star(simulation) -> None:
    conditions = toy_exposures(1, 12)
    found = twin(simulation, conditions, "non_variable", 28.0, n=200)  # no star to speak of
    corner = found.pixels[:, :, 0, 0, 0].astype(float)
    assert corner.mean(axis=0) == pytest.approx(conditions.sky[0], rel=0.01)  # 0.2 % is one standard error
    gain = conditions.gain[0]
    expected = np.sqrt(conditions.sky[0] / gain + (conditions.read_noise[0] / gain) ** 2 + 1 / 12)
    assert np.median(corner.std(axis=0) / expected) == pytest.approx(1, abs=0.05)


def test_a_twin_depends_on_seed_and_name_alone(simulation) -> None:
    conditions = toy_exposures(1, 6)
    first = twin(simulation, conditions, "non_variable", 20.0, name="x")
    assert np.array_equal(first.pixels, twin(simulation, conditions, "non_variable", 20.0, name="x").pixels)
    assert not np.array_equal(first.pixels, twin(simulation, conditions, "non_variable", 20.0, name="y").pixels)
    assert not np.array_equal(
        first.pixels, twin(replace(simulation, seed=simulation.seed + 1), conditions, "non_variable", 20.0, name="x").pixels
    )


def test_a_variable_twin_keeps_its_shape_and_gets_the_median_magnitude(simulation) -> None:
    conditions = toy_exposures(1, 15)
    source = simulation.sources["rr_lyrae"]
    params = source.sample(2, np.random.default_rng(0))
    found = twin(simulation, conditions, "rr_lyrae", 18.0, n=2, params=params)
    zero = found.truth.exposures
    mag = zero.zero_point - 2.5 * np.log10(found.truth.flux / zero.exptime)
    assert np.median(mag, axis=1) == pytest.approx([18, 18], abs=1e-4)
    plain = source.light_curve(params, zero.mid_mjd, np.full((2, 15), source.bands.index("g"), np.int8)).mag
    assert mag - np.median(mag, axis=1, keepdims=True) == pytest.approx(plain - np.median(plain, axis=1, keepdims=True), abs=1e-3)
    np.testing.assert_array_equal(found.truth.params["period"], params["period"])


def test_what_has_no_twin_is_said(simulation) -> None:
    conditions = toy_exposures(1, 5)
    with pytest.raises(ConfigError, match="class 'kilonova'.*simulated are supernova, rr_lyrae, non_variable"):
        twin(simulation, conditions, "kilonova", 20.0)
    with pytest.raises(DataError, match="a twin of HD 1: magnitude nan.*positive flux"):
        twin(simulation, conditions, "non_variable", float("nan"), name="HD 1")
    with pytest.raises(DataError, match="2 objects.*exposures of one object"):
        twin(simulation, toy_exposures(2, 5), "non_variable", 20.0)
    with pytest.raises(DataError, match="an empty sequence"):
        twin(simulation, conditions.replace(mask=np.zeros((1, 5), bool)), "non_variable", 20.0)
    with pytest.raises(BandError, match="in bands X"):
        twin(simulation, toy_exposures(1, 5, ("X",)), "non_variable", 20.0)
    early = conditions.replace(mjd=conditions.mjd - 1000)
    params = {name: column[:1] for name, column in simulation.block("test", "supernova", 0).truth.params.items()}
    with pytest.raises(SimulationError, match="class 'supernova': no light"):
        twin(simulation, early, "supernova", 20.0, params=params)


@pytest.mark.real_data
def test_twins_of_real_stars_look_like_them(data_dir: Path) -> None:
    """Appendix A of the paper: magnitude, and noise and concentration frame by frame, under the same conditions.

    The brightness asked for counts the light over the plane; the measurement takes a Moffat profile for granted and misses the
    outer wings of simulated stars, 0.06 mag, as it does those of real ones.
    """
    real = load_dataset("hits2015a", data_dir / "hits2015a").movies
    stars = real.take(np.flatnonzero(real.label == "non_variable")[::10])
    simulation = build(simulation_config(compose("simulate", ["source=[non_variable]"])))
    curve = measure(stars)
    mag = 25 - 2.5 * np.log10(np.nanmedian(np.where(curve.mask, curve.flux, np.nan), axis=1))
    usable = stars.reported.mask & stars.frame_mask
    twins = Movies.concatenate(
        [
            twin(
                simulation, stars.reported.take([k]).replace(mask=usable[[k]]), "non_variable", float(mag[k]), name=str(stars.object_id[k])
            )
            for k in range(len(stars))
        ]
    )
    again = measure(twins)
    found = 25 - 2.5 * np.log10(np.nanmedian(np.where(again.mask, again.flux, np.nan), axis=1))
    assert np.median(found - mag) == pytest.approx(0.06, abs=0.02)

    def look(movies: Movies, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Share of the light in the central 5 x 5 px, and scatter of the rim over its expected noise, per frame."""
        counts = movies.pixels[:, :, 0].astype(float)[mask]
        columns = {name: getattr(movies.reported, name)[mask] for name in ("sky", "gain", "read_noise")}
        rim = np.concatenate([counts[:, 0], counts[:, -1]], axis=1)
        flat = counts - np.median(rim, axis=1)[:, None, None]
        expected = np.sqrt(columns["sky"] / columns["gain"] + (columns["read_noise"] / columns["gain"]) ** 2)
        scatter = 1.4826 * np.median(np.abs(rim - np.median(rim, axis=1)[:, None]), axis=1) / expected
        return flat[:, 8:13, 8:13].sum(axis=(1, 2)) / flat.sum(axis=(1, 2)), scatter

    (real_core, real_noise), (twin_core, twin_noise) = look(stars, usable), look(twins, twins.frame_mask)
    assert len(real_core) == len(twin_core)
    assert np.median(twin_core / real_core) == pytest.approx(1, abs=0.03)
    assert np.median(twin_noise) == pytest.approx(np.median(real_noise), rel=0.05)
