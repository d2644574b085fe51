"""Numbers of a comparison as tables of text: for the page, for CSV and for LaTeX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from skyreel.evaluate.names import long_name, short_name

SAMPLES = (1, 3, 5, 6, 7, 10, 14, 22)
"""Numbers of images in tables; 6 is the alert in the paper's window."""
Scores = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes
    ----------
    slug : str
        Name of its files.
    section : str
        Of the page.
    caption : str
    head : tuple of str
    rows : list of list of str
    words : int
        First columns that hold words; the others hold numbers.
    strong : set of int
        Rows that are set in bold.
    """

    slug: str
    section: str
    caption: str
    head: tuple[str, ...]
    rows: list[list[str]]
    words: int = 1
    strong: frozenset[int] = field(default_factory=frozenset)


def tables(numbers: Mapping[str, Any]) -> list[Table]:
    """All tables of what `comparison_scores.numbers` returned; those without rows are left out."""
    entries = numbers["entries"]
    found = [
        *_each(_headline, entries),
        *_controls(entries),
        *_differences(numbers["differences"]),
        *_tuning(numbers["tuning"]),
        *_each(_samples, entries),
        *_each(_quality, entries),
        *_each(_strata_tables, entries),
        *_each(_alert, entries),
        *_each(_timing, entries),
        *_cost(numbers["cost"]),
        _paper(numbers["paper"]),
    ]
    return [table for table in found if table.rows]


def verdicts(entries: Sequence[Scores]) -> list[str]:
    """What the controls say of every model on every set: which it does not clear, and under which protocols."""
    said: dict[tuple[str, str, str], list[str]] = {}
    for entry in entries:
        if entry["verdict"] or not entry["simulated"]:
            said.setdefault((entry["name"], entry["data"], _verdict(entry)), []).append(long_name(entry["protocol"]))
    return [f"{name} on {data} {what} (protocol {'; '.join(under)})" for (name, data, what), under in said.items()]


def _verdict(entry: Scores) -> str:
    if not entry["verdict"]:
        return "has no controls beside it"
    failed = ", ".join(long_name(name) for name in entry["verdict"]["not_cleared"])
    return f"does not clear: {failed}" if failed else "clears all controls"


def share(value: float | None) -> str:
    """A share in per cent."""
    return "–" if value is None else f"{100 * value:.1f}"


def signed(value: float) -> str:
    """A difference of shares in per cent."""
    return f"{100 * value:+.1f}"


def limits(found: Mapping[str, Any], level: str = "95", *, difference: bool = False) -> str:
    """An interval in per cent."""
    text = signed if difference else share
    return f"{text(found[level][0])} to {text(found[level][1])}"


def within(value: float, interval: Sequence[float]) -> str:
    """A share and its interval in whole per cent."""
    return f"{share(value)} ({100 * interval[0]:.0f}–{100 * interval[1]:.0f})"


def _each(make: Any, entries: Sequence[Scores]) -> list[Table]:
    """Tables of every set, in the order in which the sets occur."""
    sets = list(dict.fromkeys(entry["data"] for entry in entries))
    out: list[Table] = []
    for data in sets:
        made = make(data, [entry for entry in entries if entry["data"] == data])
        out += made if isinstance(made, list) else [made]
    return out


def _slug(*words: str) -> str:
    text = "_".join(words).lower()
    return "".join(sign if sign.isalnum() else "_" for sign in text).strip("_")


def _sorted(entries: Sequence[Scores]) -> list[Scores]:
    """By protocol, in the order in which protocols occur; models keep theirs."""
    order = list(dict.fromkeys(entry["protocol"] for entry in entries))
    return sorted(entries, key=lambda entry: order.index(entry["protocol"]))


def _classes(entries: Sequence[Scores]) -> list[str]:
    return list(dict.fromkeys(name for entry in entries for name in entry["recall"]))


def _spread(found: Mapping[str, Any]) -> str:
    return "" if found["spread"] is None else f"± {share(found['spread'])}"


def _parts(entry: Scores) -> str:
    return f"{entry['n_parts']} {entry['of']}" if entry["n_parts"] > 1 else "1"


def _headline(data: str, entries: Sequence[Scores]) -> list[Table]:
    """Mean recall with its intervals; then the recall of each class."""
    subset = any(entry["bright"] for entry in entries)
    means, recalls, classes = [], [], _classes(entries)
    for entry in _sorted(entries):
        name, mean, bright = [long_name(entry["protocol"]), entry["name"]], entry["mean_recall"], entry["bright"]
        cells = [_parts(entry), f"{entry['n_objects']:.0f}", share(mean["value"]), limits(mean, "68"), limits(mean), _spread(mean)]
        own = [_recall(entry, label) for label in classes]
        if subset:
            cells += [share(bright["mean_recall"]["value"]), limits(bright["mean_recall"])] if bright else ["", ""]
            own.append(_recall(bright, "supernova") if bright else "")
        means.append([*name, *cells])
        recalls.append([*name, share(entry["accuracy"]["value"]), *own])
    counts = ", ".join(f"{short_name(label)} {number:.0f}" for label, number in entries[0]["counts"].items())
    text = (
        f"{data}: mean recall after the last image [%], an argmax over all trained classes. Objects: {counts}{_of_subset(entries)}. "
        f"Intervals: bootstrap over sky fields, and over seeds or draws where there are several; spread: standard deviation over those."
    )
    more = ("bright subset", "95 %") if subset else ()
    head = ("protocol", "model", "runs", "objects", "mean recall", "68 %", "95 %", "spread", *more)
    classes_head = ("protocol", "model", "accuracy", *map(short_name, classes), *(("SN, bright",) if subset else ()))
    caption = f"{data}: accuracy and recall of each class after the last image [%], with 95 % intervals of the same bootstrap."
    return [
        Table(_slug("headline", data), "headline", text, head, means, 2),
        Table(_slug("recall", data), "headline", caption, classes_head, recalls, 2),
    ]


def _recall(scores: Scores, name: str) -> str:
    found = scores["recall"].get(name)
    return within(found["value"], found["95"]) if found else ""


def _of_subset(entries: Sequence[Scores]) -> str:
    """'; bright: 25 of 49 SN' from the first entry that has a subset."""
    for entry in entries:
        if entry["bright"]:
            few, all_ = entry["bright"]["counts"], entry["counts"]
            less = [
                f"{few.get(name, 0):.0f} of {number:.0f} {short_name(name)}" for name, number in all_.items() if few.get(name, 0) < number
            ]
            return f"; bright: {', '.join(less)}"
    return ""


def _controls(entries: Sequence[Scores]) -> list[Table]:
    out = []
    with_controls = [entry for entry in entries if entry["controls"]]
    for (data, protocol), group in _grouped(with_controls).items():
        rows: list[list[str]] = []
        strong = []
        for entry in group:
            strong.append(len(rows))
            rows.append([entry["name"], "", share(entry["mean_recall"]["value"]), limits(entry["mean_recall"]), "", "", ""])
            for name, found in entry["controls"].items():
                mean, less = found["mean_recall"], found["difference"]
                own = [share(mean["value"]), limits(mean), signed(less["value"]), limits(less, difference=True)]
                rows.append(["", long_name(name), *own, "yes" if found["cleared"] else "no"])
        caption = f"{data}, {long_name(protocol)}: mean recall of controls that see one cheap thing only [%], and the model's less theirs."
        head = ("model", "control", "mean recall", "95 %", "model less control", "95 %", "cleared")
        out.append(Table(_slug("controls", data, protocol), "controls", caption, head, rows, 2, frozenset(strong)))
    return out


def _grouped(entries: Sequence[Scores]) -> dict[tuple[str, str], list[Scores]]:
    """By set and protocol, in the order in which they occur."""
    out: dict[tuple[str, str], list[Scores]] = {}
    for entry in entries:
        out.setdefault((entry["data"], entry["protocol"]), []).append(entry)
    return out


def _differences(found: Sequence[Scores]) -> list[Table]:
    out = []
    for (data, protocol), group in _grouped(found).items():
        rows = []
        for row in group:
            sure = "yes" if row["95"][0] > 0 or row["95"][1] < 0 else "no"
            numbers = sorted({str(number) for number in row["n"]})
            cells = [row["a_name"], row["b_name"], share(row["a"]), share(row["b"]), signed(row["value"])]
            rows.append(
                [
                    *cells,
                    limits(row, "68", difference=True),
                    limits(row, difference=True),
                    sure,
                    "–".join(numbers[:: max(len(numbers) - 1, 1)]),
                ]
            )
        caption = (
            f"{data}, {long_name(protocol)}: mean recall of A less that of B on the objects that both were scored on [%]; the same fields "
            f"are drawn for both."
        )
        head = ("A", "B", "recall of A", "recall of B", "A less B", "68 %", "95 %", "0 outside", "objects")
        out.append(Table(_slug("differences", data, protocol), "differences", caption, head, rows, 2))
    return out


def _tuning(found: Sequence[Scores]) -> list[Table]:
    rows = []
    for row in found:
        cells = [row["name"], row["data"], long_name(row["protocol"]), long_name(row["metric"]), share(row["b"]), share(row["a"])]
        rows.append([*cells, signed(row["value"]), limits(row, difference=True), _spread(row)])
    head = ("model", "set", "protocol", "score", "before", "after", "change", "95 %", "spread")
    caption = "Before and after fine-tuning, draw by draw on the objects that were not used [%]; spread: standard deviation over the draws."
    strong = frozenset(k for k, row in enumerate(found) if row["metric"] == "mean_recall")
    return [Table("tuning", "tuning", caption, head, rows, 4, strong)]


def _samples(data: str, entries: Sequence[Scores]) -> Table:
    rows = []
    for entry in _sorted(entries):
        for key in ("mean_recall", "accuracy"):
            values = [entry["by_n_images"][str(k)][key]["value"] for k in SAMPLES]
            rows.append([long_name(entry["protocol"]), entry["name"], long_name(key), *map(share, values)])
    caption = f"{data}: scores after a number of images [%]; an object with fewer counts with its last one."
    return Table(_slug("images", data), "images", caption, ("protocol", "model", "score", *map(str, SAMPLES)), rows, 3)


def _quality(data: str, entries: Sequence[Scores]) -> list[Table]:
    """Quality of the probabilities; then precision."""
    classes = _classes(entries)
    rows, precision = [], []
    for entry in _sorted(entries):
        name = [long_name(entry["protocol"]), entry["name"]]
        interval = limits({"95": entry["ece_interval"]["95"]}) if entry["ece_interval"] else _spread(entry["ece"])
        scores = [f"{entry[key]['value']:.3f}" for key in ("log_loss", "brier")]
        rows.append([*name, *scores, share(entry["ece"]["value"]), interval, share(entry["ece_chance"]["value"])])
        precision.append([*name, *(share(entry["precision"][k]["value"]) if k in entry["precision"] else "" for k in classes)])
    head = ("protocol", "model", "log loss", "Brier score", "ECE [%]", "95 % or ± spread", "ECE by chance [%]")
    caption = f"{data}: probabilities after the last image; ECE: expected calibration error."
    shares = f"{data}: precision of each class where all classes that occur are equally frequent [%]."
    return [
        Table(_slug("quality", data), "calibration", caption, head, rows, 2),
        Table(_slug("precision", data), "calibration", shares, ("protocol", "model", *map(short_name, classes)), precision, 2),
    ]


def _strata_tables(data: str, entries: Sequence[Scores]) -> list[Table]:
    titles = {"magnitude": "magnitude", "snr": "signal to noise of an image", "saturated": "saturated pixels"}
    out = []
    for protocol in dict.fromkeys(entry["protocol"] for entry in entries):
        chosen = [entry for entry in entries if entry["protocol"] == protocol]
        classes = _classes(chosen)
        for key, title in titles.items():
            rows = []
            for entry in chosen:
                for cell in entry["strata"][key]:
                    own = [f"{cell['n']:.0f}", share(cell["accuracy"]), limits({"95": cell["interval"]})]
                    rows.append([entry["name"], _stratum(cell), *own, *(_of_class(cell["recall"].get(name)) for name in classes)])
            caption = f"{data}, {long_name(protocol)}: accuracy and recall by {title} [%], objects in brackets; 95 % Wilson intervals."
            head = ("model", title, "objects", "accuracy", "95 %", *map(short_name, classes))
            out.append(Table(_slug("strata", key, data, protocol), "strata", caption, head, rows, 2))
    return out


def _stratum(cell: Scores) -> str:
    if "value" in cell:
        return "some" if cell["value"] else "none"
    low, high = cell["low"], cell["high"]
    if low is None:
        return "unknown" if high is None else f"below {high:g}"
    return f"from {low:g} on" if high is None else f"{low:g} to {high:g}"


def _of_class(cell: Scores | None) -> str:
    return f"{share(cell['recall'])} ({cell['n']:.0f})" if cell else ""


def _timing(data: str, entries: Sequence[Scores]) -> Table:
    rows = []
    for entry in _sorted(entries):
        for name, found in entry["stable"].items():
            images, days = (_quartiles(found[unit], form) for unit, form in (("images", ".0f"), ("days", ".1f")))
            label = "all" if name == "all" else long_name(name)
            rows.append([long_name(entry["protocol"]), entry["name"], label, images, days, share(found["never"])])
    strong = frozenset(k for k, row in enumerate(rows) if row[2] == "all")
    caption = (
        f"{data}: images and days until the answer is right and stays right: median (quartiles); an object that is wrong at its last image "
        f"counts as infinitely late."
    )
    return Table(_slug("stable", data), "timing", caption, ("protocol", "model", "class", "images", "days", "never [%]"), rows, 3, strong)


def _quartiles(found: Mapping[str, float | None], form: str) -> str:
    low, middle, high = ("never" if found[key] is None else format(found[key], form) for key in ("q25", "median", "q75"))
    return f"{middle} ({low}–{high})"


def _alert(data: str, entries: Sequence[Scores]) -> Table:
    rows, later = [], ["0", "1", "2", "3", "5", "10"]
    for entry in _sorted(entries):
        for name, found in entry["alert"].items():
            cells = [within(found["after"][k]["recall"], found["after"][k]["interval"]) for k in later]
            rows.append([long_name(entry["protocol"]), entry["name"], long_name(name), f"{found['n']:.0f}", *cells])
    head = ("protocol", "model", "class", "objects", "at the alert", *(f"{k} later" for k in later[1:]))
    caption = (
        f"{data}: recall at the image of the first detection (label-blind: of the trigger) and some images later [%], with 95 % Wilson "
        f"intervals; objects without one do not count."
    )
    return Table(_slug("alert", data), "timing", caption, head, rows, 3)


def _cost(found: Mapping[str, Scores]) -> list[Table]:
    units = ("objects", "images")
    rows = [
        [name, *(str(cost[key]) for key in units), *(f"{1e3 * cost['seconds'] / cost[key]:.3g}" for key in units), f"{cost['ratio']:.3g}"]
        for name, cost in found.items()
    ]
    head = ("model", "objects", "images", "ms per object", "ms per image", "over PSF photometry")
    caption = "Time for the probabilities after every image; it depends on the machine, its ratio to photometry of the same images less so."
    return [Table("cost", "cost", caption, head, rows)]


def _paper(found: Sequence[Scores]) -> Table:
    rows = []
    for item in found:
        paper = item["paper"]
        printed = f"{paper['value']:.4g}" + ("" if paper["error"] is None else f" ± {paper['error']:g}")
        place = [paper["where"], paper["classifier"], paper["what"], printed]
        for number, ours in enumerate(item["ours"] or [None]):
            cells = ["", "", "", ""] if ours is None else [ours["name"], *_ours(ours)]
            rows.append([*(place if number == 0 else [""] * 4), *(cells if ours is not None else ["not in these runs", "", "", ""])])
    head = ("where", "classifier", "what", "paper", "model here", "here", "95 %", "spread")
    caption = (
        "Numbers that the paper prints beside those of these runs, protocol 'paper'. What keeps them from being compared is listed below."
    )
    return Table("paper", "paper", caption, head, rows, 3)


def _ours(found: Scores) -> list[str]:
    low, high = found["95"]
    spread = "" if found["spread"] is None else f"± {found['spread']:.3f}"
    return [f"{found['value']:.3f}", f"{low:.3f} to {high:.3f}", spread]
