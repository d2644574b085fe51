"""The gallery on disk: figures as PNG and PDF, movies as GIF, and one self-contained page that shows them all."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from skyreel.errors import OutputError
from skyreel.evaluate import page
from skyreel.evaluate.figures_style import Drawing
from skyreel.files import write_bytes, write_text

INDEX, FIGURES, MOVIES = "index.html", "figures", "movies"
"""What a gallery leaves in its folder."""
OF_A_RUN = ("config.yaml", "run.json", "gallery.log", ".hydra")
"""What lies there beside it where the run's folder is the gallery's."""
SECTIONS = {
    "paper": "Figures 1, 2 and 3 of the paper",
    "movies": "One movie per class",
    "sky": "The simulated sky",
    "real": "Beside the real sky",
}
"""Key -> title, in the order shown."""


@dataclass(frozen=True)
class Plate:
    """A figure of the gallery.

    Attributes
    ----------
    slug : str
        Name of its files.
    section : str
        Of the page, a key of `SECTIONS`.
    alt : str
        What a reader who does not see it must know that there is.
    drawing : Drawing
    movie : bytes or None
        Animated GIF that belongs to it.
    """

    slug: str
    section: str
    alt: str
    drawing: Drawing
    movie: bytes | None = None


def check_folder(folder: Path) -> None:
    """OutputError where a folder holds anything but an earlier gallery, or cannot be made."""
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"output={folder}", "it is a file", "choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise OutputError(f"output={folder}", err.strerror or str(err), "choose a folder that can be written to") from err
    others = sorted(item.name for item in folder.iterdir() if item.name not in (INDEX, FIGURES, MOVIES, *OF_A_RUN))
    if others:
        found = f"it holds {', '.join(others[:3])}{' and more' if len(others) > 3 else ''}"
        raise OutputError(f"output={folder}", found, "choose a new folder, or one of an earlier gallery")


def write_plate(folder: Path, plate: Plate) -> str:
    """Writes a figure as PNG and PDF and its movie as GIF; returns its HTML.

    Raises
    ------
    OutputError
        If the folder cannot be written to.
    """
    figure = plate.drawing.figure
    page.settle(figure)
    png = page.png_bytes(figure)
    write_bytes(folder / FIGURES / f"{plate.slug}.png", png)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="pdf", metadata={"CreationDate": None, "Producer": None, "Creator": None})
    write_bytes(folder / FIGURES / f"{plate.slug}.pdf", buffer.getvalue())
    html = page.figure_html(page.compact(png), plate.alt, plate.drawing.caption, plate.slug)
    if plate.movie is None:
        return html
    write_bytes(folder / MOVIES / f"{plate.slug}.gif", plate.movie)
    return html + _movie_html(plate)


def write_index(
    folder: Path,
    parts: Sequence[tuple[Plate, str]],
    *,
    title: str,
    tiles: Mapping[str, str],
    notes: Sequence[str],
    provenance: Mapping[str, str],
    config_yaml: str,
) -> Path:
    """Writes the page and removes the figures and movies of an earlier gallery; returns the page.

    Parameters
    ----------
    folder : Path
    parts : sequence of (Plate, str)
        Figures with what `write_plate` returned.
    title : str
    tiles : mapping of str -> str
        Name -> what stands in large type above it.
    notes : sequence of str
        What a reader must know.
    provenance : mapping of str -> str
    config_yaml : str

    Raises
    ------
    OutputError
        If the folder cannot be written to.
    """
    body = [f"<h1>{escape(title)}</h1>", page.tiles_html(tiles), page.list_html(notes)]
    for key, heading in SECTIONS.items():
        own = [html for plate, html in parts if plate.section == key]
        body += [f"<h2>{escape(heading)}</h2>", *own] if own else []
    body += ["<h2>Provenance</h2>", page.pairs_html(provenance)]
    body.append(f"<details><summary>Config of the run</summary><pre>{escape(config_yaml)}</pre></details>")
    write_text(folder / INDEX, page.document(title, body))
    kept = {plate.slug for plate, _ in parts}
    moving = {plate.slug for plate, _ in parts if plate.movie is not None}
    for place, names in ((FIGURES, kept), (MOVIES, moving)):
        for item in (folder / place).glob("*.*"):
            if item.stem not in names:
                item.unlink()
    return folder / INDEX


def _movie_html(plate: Plate) -> str:
    """The movie behind a button: nothing moves that the reader did not ask for."""
    assert plate.movie is not None
    data = base64.b64encode(plate.movie).decode("ascii")
    alt = "The stamps of this figure one after the other, each under its date, band and seeing."
    return f'<details><summary>Play this movie</summary><img alt="{alt}" src="data:image/gif;base64,{data}"></details>'
