"""Writes the notebooks of this folder from their cells and executes them: ``make notebooks``."""

import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent

LOOK = [
    """# Simulate and look

A movie is what a survey sees of one object: a stack of small stamps, one per exposure. This notebook composes a
simulation from plugins, makes a block of movies per class and looks at the images and at what is known about them.""",
    """import numpy as np
from matplotlib import pyplot as plt

from skyreel.hydra_glue import compose
from skyreel.simulate.run import build, simulation_config

config = compose("simulate", ["experiment=quickstart", "source=[supernova,rr_lyrae,asteroid]", "seed=1"])
simulation = build(simulation_config(config))
{label: simulation.block("notebook", label, 0).pixels.shape for label in simulation.sources}""",
    """The axes are (objects, epochs, channels, height, width), in raw counts with sky. `reported` holds what a classifier may
know about each exposure, `truth` what only the simulation knows.""",
    """movies = simulation.block("notebook", "supernova", 0)
row = int(np.argmax(movies.truth.flux.max(axis=1)))
n = int(movies.frame_mask[row].sum())
fig, axes = plt.subplots(1, n, figsize=(1.1 * n, 1.6))
sky = movies.reported.sky[row]
for k, ax in enumerate(axes):
    ax.imshow(np.arcsinh((movies.pixels[row, k, 0] - sky[k]) / 30.0), cmap="gray_r", vmin=-1, vmax=5)
    ax.set(xticks=[], yticks=[], title=f'{movies.reported.seeing[row, k]:.1f}"')
fig.suptitle(f"{movies.object_id[row]}, z = {movies.truth.params['redshift'][row]:.2f}; titles: seeing")
plt.show()""",
    """Light curves of the three classes, in counts (the noise is in the images, not in the curves):""",
    """fig, axes = plt.subplots(1, 3, figsize=(12, 3), layout="constrained")
for ax, label in zip(axes, simulation.sources):
    movies = simulation.block("notebook", label, 0)
    for row in range(4):
        use = movies.frame_mask[row]
        ax.plot(movies.reported.mjd[row, use], movies.truth.flux[row, use], "o-", ms=3)
    ax.set(title=label, xlabel="MJD [d]", ylabel="flux [ADU]")
    ax.set_yscale("symlog", linthresh=100)
plt.show()""",
    """`skyreel simulate ... output=movies/` writes the same movies to disk; `skyreel plugins` lists every option.""",
]

TRAIN = [
    """# Train and classify

A very small network on three classes, trained for a minute or so, then fed image by image. For scores worth quoting
use `skyreel train experiment=quickstart`.""",
    """import shutil
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from skyreel.hydra_glue import compose
from skyreel.models import load_model
from skyreel.simulate.run import simulate_movies
from skyreel.verbs import train

place = Path("runs") / "notebook"
shutil.rmtree(place, ignore_errors=True)
overrides = ["experiment=quickstart", "source=[supernova,asteroid,non_variable]", "n_objects=256", "executor=inprocess"]
overrides += ["trainer.max_steps=80", "trainer.valid_every=40", "trainer.progress=false"]
config = compose("train", overrides)
recall = train.run(config, place)""",
    """The run's folder now holds the model, `metrics.json` and a report. Load it and classify movies it has not seen:""",
    """model = load_model(place)
movies = simulate_movies(compose("simulate", overrides[:2]), "unseen", 32)
out = model.predict(movies)
print("after the last image:")
for label in model.classes:
    rows = np.flatnonzero(movies.label == label)
    last = movies.frame_mask[rows].sum(axis=1) - 1
    best = out.probabilities[rows, last].argmax(axis=1)
    print(f"  {label:12} recall {np.mean(best == model.classes.index(label)):.2f} of {len(rows)}")""",
    """One frame at a time gives the same probabilities as the whole movie: this is how an alert stream is read. The state can
be kept as bytes between two nights.""",
    """movie = movies.take(np.flatnonzero(movies.label == "supernova")[:1])
state = model.initial_state(1)
history = []
for k in range(int(movie.frame_mask.sum())):
    probabilities, state = model.step(state, movie.pixels[:, k].astype(np.float32), movie.reported.window(np.array([k]), 1))
    state = model.state_from_bytes(model.state_to_bytes(state))
    history.append(probabilities[0])
whole = model.predict(movie).probabilities[0, : len(history)]
print("largest difference from the whole movie:", np.abs(np.array(history) - whole).max())
plt.figure(figsize=(6, 3), layout="constrained")
plt.plot(np.arange(1, len(history) + 1), history, "o-", label=model.classes)
plt.axvline(int(movie.first_detection[0]) + 1, color="0.6", ls=":")
plt.xlabel("image (dotted: first alert)")
plt.ylabel("probability")
plt.legend()
plt.show()""",
]

CUTOUTS = [
    """# Classify your own cutouts

All that is needed is a folder of FITS cutouts and a table that says which file shows which object. This notebook makes such
a folder from simulated movies, forgets most of what a survey would say about its exposures, imports it and classifies it
with a very small network. Put your own folder and a model of yours in their place.""",
    """import csv
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from astropy.io import fits
from matplotlib import pyplot as plt

from skyreel.cli import main
from skyreel.hydra_glue import compose
from skyreel.movie_files import MovieFolder
from skyreel.simulate.run import simulate_movies
from skyreel.verbs import train

place = Path("runs") / "cutouts"
shutil.rmtree(place, ignore_errors=True)
setup = ["experiment=quickstart", "source=[supernova,asteroid,non_variable]", "executor=inprocess"]
movies = simulate_movies(compose("simulate", [*setup, "seed=7"]), "yours", 40)

folder = place / "fits"
folder.mkdir(parents=True)
with (place / "cutouts.csv").open("w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["file", "object_id", "label", "zero_point"])
    for k, t in zip(*np.nonzero(movies.frame_mask)):
        name, reported = f"{k:03d}_{t:02d}.fits", movies.reported
        header = fits.Header({"MJD-OBS": reported.mjd[k, t], "FILTER": "g", "EXPTIME": float(reported.exptime[k, t])})
        header["GAIN"], header["PIXSCALE"] = float(reported.gain[k, t]), 0.27
        fits.PrimaryHDU(movies.pixels[k, t, 0], header).writeto(folder / name)
        table.writerow([name, movies.object_id[k], movies.label[k], reported.zero_point[k, t]])
print(len(list(folder.iterdir())), "files")""",
    """Date, band, exposure time, gain and pixel scale stand in the headers, the zero point in the table. Nobody says how bright
the sky is, how wide a star, how deep an image or how noisy the readout: the import estimates them from the pixels, and says so.
`label` is not needed; it is here to see how well the network does.""",
    """options = ["--cutouts", str(folder), "--output", str(place / "movies"), "--set", "saturation=40000"]
main(["import", str(place / "cutouts.csv"), *options])
imported = MovieFolder(place / "movies").take(slice(None))""",
    """How good are the estimates? These are simulated movies, so we know what was forgotten. The same is in `movies.json` of the
folder, for every condition, with the number of cutouts it was estimated for.""",
    """fig, axes = plt.subplots(1, 2, figsize=(8, 3.6), layout="constrained")
for ax, name, unit in zip(axes, ["sky", "psf_fwhm"], ["ADU / px", "px"]):
    known, found = (getattr(item.reported, name)[item.frame_mask] for item in (movies, imported))
    ax.plot(known, found, ".", ms=2)
    ends = [known.min(), known.max()]
    ax.plot(ends, ends, "k-", lw=0.6)
    ax.set(title=name, xlabel=f"known to the simulation [{unit}]", ylabel=f"from the pixels [{unit}]")
plt.show()
for name in ["sky", "psf_fwhm"]:
    known, found = (getattr(item.reported, name)[item.frame_mask] for item in (movies, imported))
    print(f"{name:9} median ratio {np.median(found / known):.3f}")""",
    """A very small network, trained for a minute. Use `skyreel train experiment=quickstart` for one that is worth its name.""",
    """overrides = [*setup, "n_objects=256", "trainer.max_steps=80", "trainer.valid_every=40", "trainer.progress=false"]
recall = train.run(compose("train", overrides), place / "model")
arguments = [f"model={place / 'model'}", f"input={place / 'movies'}", f"output={place / 'probabilities.parquet'}"]
main(["classify", *arguments, f"hydra.run.dir={place / 'classify'}"]);""",
    """One row per image of every object: the probability of each class with all images so far.""",
    """found = pq.read_table(place / "probabilities.parquet").to_pydict()
names, last = np.unique(found["object_id"][::-1], return_index=True)
last = len(found["object_id"]) - 1 - last
label, predicted = np.array(found["label"])[last], np.array(found["predicted"])[last]
print("after the last image:")
for name in ("supernova", "asteroid", "non_variable"):
    print(f"  {name:12} recall {np.mean(predicted[label == name] == name):.2f} of {np.sum(label == name)}")

fig, axes = plt.subplots(1, 3, figsize=(12, 3), layout="constrained", sharey=True)
for ax, name in zip(axes, ("supernova", "asteroid", "non_variable")):
    rows = [k for k, who in enumerate(found["object_id"]) if who == names[label == name][0]]
    for other in ("supernova", "asteroid", "non_variable"):
        ax.plot(np.array(found["image"])[rows] + 1, np.array(found[f"p_{other}"])[rows], "o-", ms=3, label=other)
    ax.set(title=f"one {name}", xlabel="image")
axes[0].set_ylabel("probability")
axes[0].legend()
plt.show()""",
]


def write(name: str, cells: list[str]) -> None:
    """Text and code cells alternate, starting with text; the executed notebook lands beside this file."""
    make = (nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell)
    notebook = nbformat.v4.new_notebook(cells=[make[k % 2](text) for k, text in enumerate(cells)])
    for k, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{k}"
    os.environ["TTY_COMPATIBLE"] = "0"  # progress as one line: a stored notebook is no terminal
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(HERE)}}).execute()
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [item for item in cell.outputs if item.output_type != "stream" or item.name == "stdout"]
    nbformat.write(notebook, HERE / name)


if __name__ == "__main__":
    write("simulate_and_look.ipynb", LOOK)
    write("train_and_classify.ipynb", TRAIN)
    write("classify_your_own_cutouts.ipynb", CUTOUTS)
