"""Pieces of a self-contained HTML page, and its look: light and dark, no network, no scripts."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape

from matplotlib.figure import Figure
from PIL import Image

DPI = 130
STYLE = """
:root { color-scheme: light dark; --back: #ffffff; --text: #1d2129; --soft: #5b6472; --line: #d9dde3; --card: #f4f6f8;
  --accent: #2f6aa8; }
@media (prefers-color-scheme: dark) { :root { --back: #14171c; --text: #e6e9ee; --soft: #9aa4b2; --line: #333a45;
  --card: #1d222a; --accent: #7fb2e8; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1.25rem 4rem; background: var(--back); color: var(--text);
  font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0.5rem 0 1rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 0.7rem; padding-bottom: 0.25rem; border-bottom: 1px solid var(--line); }
.tiles { display: flex; flex-wrap: wrap; gap: 0.8rem; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 0.6rem 1rem; min-width: 9rem; }
.tile b { display: block; font-size: 1.35rem; color: var(--accent); }
.tile span, caption, figcaption { color: var(--soft); font-size: 0.88rem; }
.verdict { border-left: 4px solid var(--accent); background: var(--card); padding: 0.4rem 0.9rem; margin: 0.6rem 0; font-weight: 600; }
.wide { overflow-x: auto; margin-bottom: 1rem; }
.side { display: flex; flex-wrap: wrap; gap: 1.5rem 2.5rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.92rem; }
caption { text-align: left; padding-bottom: 0.35rem; }
th, td { padding: 0.28rem 0.7rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child { text-align: left; }
thead th { color: var(--soft); font-weight: 600; }
td.own { font-weight: 700; color: var(--accent); }
tr.sum td, tr.sum th { font-weight: 700; }
.text td { text-align: left; overflow-wrap: anywhere; }
figure { margin: 1rem 0 1.6rem; }
figure img { max-width: 100%; height: auto; background: #ffffff; border: 1px solid var(--line); border-radius: 8px; padding: 0.6rem; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 0.8rem 1rem; overflow-x: auto;
  font-size: 0.85rem; }
summary { cursor: pointer; color: var(--accent); }
"""


def document(title: str, parts: Sequence[str], style: str = STYLE) -> str:
    """A whole page from the HTML of its parts.

    Parameters
    ----------
    title : str
        Plain text.
    parts : sequence of str
        HTML.
    style : str
        CSS.
    """
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )


def tiles_html(values: Mapping[str, str]) -> str:
    """A row of boxes: name -> what stands in large type above it."""
    tiles = "".join(f'<div class="tile"><b>{escape(value)}</b><span>{escape(name)}</span></div>' for name, value in values.items())
    return f'<div class="tiles">{tiles}</div>'


def list_html(items: Sequence[str]) -> str:
    """A list of plain texts."""
    return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"


def table_html(caption: str, head: str, rows: Sequence[str]) -> str:
    """A table that scrolls by itself where it is too wide; `head` holds cells, `rows` whole rows of HTML."""
    body = "\n".join(rows)
    return f'<div class="wide"><table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def cells_html(tag: str, values: Sequence[str]) -> str:
    """Cells of a row from plain texts; `tag` is 'td' or 'th'."""
    return "".join(f"<{tag}>{escape(value)}</{tag}>" for value in values)


def pairs_html(values: Mapping[str, object]) -> str:
    """A table of names and texts."""
    rows = [f"<tr>{cells_html('td', [name, str(value)])}</tr>" for name, value in values.items()]
    return f'<div class="wide text"><table><tbody>{"".join(rows)}</tbody></table></div>'


def settle(figure: Figure) -> None:
    """Lays a figure out for good; the last digits of the layout's solution vary from run to run, so they are cut off."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = (round(value, 6) for value in axes.get_position(original=True).bounds)
        axes.set_position((left, bottom, width, height), which="original")


def png_bytes(figure: Figure, dpi: int = DPI) -> bytes:
    """The figure as PNG; the same bytes whenever the same figure is drawn."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def compact(png: bytes, colours: int = 256) -> bytes:
    """The picture with at most `colours` colours, where that makes it smaller."""
    buffer = io.BytesIO()
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return min(png, buffer.getvalue(), key=len)


def figure_html(png: bytes, alt: str, caption: str, anchor: str | None = None) -> str:
    """An image inside the page, with its alternative text and its caption, both plain, and the id that links can name."""
    data = base64.b64encode(png).decode("ascii")
    name = f' id="{escape(anchor)}"' if anchor else ""
    return f'<figure{name}><img alt="{escape(alt)}" src="data:image/png;base64,{data}"><figcaption>{escape(caption)}</figcaption></figure>'
