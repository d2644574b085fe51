"""Opens reports in headless Chromium: nothing may be missing, nothing may complain, nothing may reach for a network.

    python tests/report_check.py [REPORT.html ...] [--screens FOLDER]

Without a report it makes a comparison of toy runs and checks that. Exit code 0: all is well; 1: problems, one a line;
2: no Chromium in PATH, nothing was opened.
"""

import argparse
import base64
import fcntl
import json
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
from html.parser import HTMLParser
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
    "--window-size=1280,1600",
)
LIMIT = 10_000_000
"""Bytes of a report."""
PATIENCE = 60.0
"""Seconds for one answer of the browser."""
MODES = ("light", "dark")
NO_BROWSER = 2


class Page(HTMLParser):
    """Tags, attributes that load something, ids and alternative texts; every tag must be closed in order."""

    void = frozenset({"meta", "img", "br", "hr", "link"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.alts: list[str] = []
        self.styles: list[str] = []
        self.words = ""
        self.faults: list[str] = []
        self.feed(text)
        self.faults += [f"<{tag}> is never closed" for tag in self.open]

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        given = dict(attrs)
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "srcset", "action", "data", "poster")]
        self.styles += [given["style"]] if "style" in given else []
        self.ids += [given["id"]] if "id" in given else []
        if tag == "img":
            self.alts.append((given.get("alt") or "").strip())
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open[-1] != tag:
            self.faults.append(f"</{tag}> closes {self.open[-1:] or 'nothing'}")
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            self.styles.append(data)
        else:
            self.words += data


def problems_of(path: Path, limit: int = LIMIT) -> list[str]:
    """What can be said of a report without a browser: size, nesting, links, alternative texts, figures beside it."""
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    out = list(page.faults)
    if path.stat().st_size >= limit:
        out.append(f"{path.stat().st_size} bytes, the limit is {limit}")
    out += [f"loads {link[:60]}" for link in page.links if not link.startswith(("data:", "#"))]
    out += [f"link to {link}, which is nowhere" for link in page.links if link.startswith("#") and link[1:] not in page.ids]
    out += [f"style loads something: {style[:60]}" for style in page.styles if re.search(r"url\(|@import|https?:", style)]
    out += [f"id {name!r} is there {page.ids.count(name)} times" for name in sorted(set(page.ids)) if page.ids.count(name) > 1]
    if "script" in page.tags:
        out.append("holds a script")
    if page.tags.count("figure") != page.tags.count("img"):
        out.append(f"{page.tags.count('figure')} figures hold {page.tags.count('img')} images")
    if not page.tags.count("figure"):
        out.append("holds no figure")
    out += [f"image {k + 1} has no alternative text" for k, alt in enumerate(page.alts) if not alt]
    beside = sorted(item.stem for item in (path.parent / "figures").glob("*.png"))
    out += [f"figure {name} is neither in the page nor named there" for name in beside if name not in page.ids and name not in page.words]
    return out


class Browser:
    """Headless Chromium, spoken to in the DevTools protocol over two pipes."""

    def __init__(self, binary: str, profile: Path) -> None:
        ours, theirs = os.pipe(), os.pipe()
        # the browser reads from 3 and writes to 4: its ends are moved out of the way first
        source, sink = fcntl.fcntl(ours[0], fcntl.F_DUPFD_CLOEXEC, 10), fcntl.fcntl(theirs[1], fcntl.F_DUPFD_CLOEXEC, 10)

        def plug() -> None:
            os.dup2(source, 3)
            os.dup2(sink, 4)

        command = [binary, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, close_fds=False, preexec_fn=plug)
        for end in (ours[0], theirs[1], source, sink):
            os.close(end)
        self.write_end, self.read_end = ours[1], theirs[0]
        self.number, self.buffer, self.events = 0, b"", []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def ask(self, method: str, **params: object) -> dict:
        """Sends a command and returns its result; what else the browser says meanwhile is kept in `events`."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if hasattr(self, "session"):
            message["sessionId"] = self.session
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            found = self.receive(until)
            if found.get("id") == self.number:
                if "error" in found:
                    raise RuntimeError(f"{method}: {found['error']}")
                return found["result"]
            self.events.append(found)
        raise TimeoutError(f"{method}: no answer in {PATIENCE:.0f} s")

    def receive(self, until: float) -> dict:
        """The next message."""
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.read_end], [], [], max(0.0, until - time.monotonic()))
            data = os.read(self.read_end, 1 << 20) if ready else b""
            if not data:
                raise TimeoutError("the browser has gone or does not answer")
            self.buffer += data
        text, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(text)

    def wait(self, event: str) -> None:
        """Waits for an event, which may be over already."""
        until = time.monotonic() + PATIENCE
        while not any(item.get("method") == event for item in self.events):
            self.events.append(self.receive(until))

    def value(self, script: str) -> object:
        """Value of a JavaScript expression in the page."""
        return self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)["result"].get("value")

    def close(self) -> None:
        """Ends this browser."""
        os.close(self.write_end)
        self.process.terminate()
        self.process.wait(20)
        os.close(self.read_end)


LOADED = """Promise.all([...document.images].map(image => image.decode().catch(() => null))).then(() =>
  [...document.images].map(image => [image.naturalWidth, image.getBoundingClientRect().width, image.alt]))"""
COLOURS = "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
TOO_WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
SLICE = 2400
"""Height of one screenshot [px]: the whole page is cut into several."""


def look(browser: Browser, path: Path, mode: str, screens: Path | None) -> list[str]:
    """Opens the report as a reader with light or dark settings sees it; returns what is wrong."""
    browser.events.clear()
    for domain in ("Page", "Runtime", "Log", "Network"):
        browser.ask(f"{domain}.enable")
    browser.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": mode}])
    browser.ask("Page.navigate", url=path.resolve().as_uri())
    browser.wait("Page.loadEventFired")
    out = []
    images = browser.value(LOADED)
    out += [f"image {alt!r} is not shown" for natural, shown, alt in images if not natural or not shown]
    text, back = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in browser.value(COLOURS))
    if (text < back) != (mode == "light"):
        out.append("text and ground have the wrong colours")
    if browser.value(TOO_WIDE):
        out.append("the page scrolls sideways")
    if screens:
        screens.mkdir(parents=True, exist_ok=True)
        height = int(browser.value("document.documentElement.scrollHeight"))
        for number, top in enumerate(range(0, height, SLICE)):
            clip = {"x": 0, "y": top, "width": 1280, "height": min(SLICE, height - top), "scale": 1}
            data = browser.ask("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)["data"]
            (screens / f"{path.parent.name}_{mode}_{number:02d}.png").write_bytes(base64.b64decode(data))
    for item in browser.events:
        params = item.get("params", {})
        if item.get("method") == "Network.requestWillBeSent" and not params["request"]["url"].startswith(("file:", "data:", "about:")):
            out.append(f"asks for {params['request']['url'][:80]}")
        if item.get("method") == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            out.append(f"{params['entry']['level']}: {params['entry']['text']}")
        if item.get("method") == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            out.append(f"console {params['type']}: {params['args']}")
        if item.get("method") == "Runtime.exceptionThrown":
            out.append(f"exception: {params['exceptionDetails'].get('text')}")
    return [f"{mode}: {line}" for line in out]


def find_browser() -> str | None:
    """Path of the first of `BROWSERS` that there is."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def check(reports: list[Path], binary: str, screens: Path | None) -> list[str]:
    """Problems of all reports."""
    out = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(binary, Path(profile))
        try:
            for path in reports:
                found = problems_of(path) + [line for mode in MODES for line in look(browser, path, mode, screens)]
                out += [f"{path}: {line}" for line in found]
        finally:
            browser.close()
    return out


def toy_report(folder: Path) -> Path:
    """A comparison of toy runs."""
    from outcome_toys import toy_runs

    from skyreel.verbs.compare import main as compare

    compare([*map(str, toy_runs(folder / "runs")), "--output", str(folder / "report")])
    return folder / "report" / "report.html"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", nargs="*", type=Path, metavar="REPORT.html")
    parser.add_argument("--screens", type=Path, metavar="FOLDER", help="keep screenshots there")
    options = parser.parse_args(argv)
    binary = find_browser()
    if binary is None:
        print(f"report-check skipped: none of {', '.join(BROWSERS)} is in PATH; install Chromium to open reports", file=sys.stderr)
        return NO_BROWSER
    with tempfile.TemporaryDirectory() as folder:
        reports = options.reports or [toy_report(Path(folder))]
        missing = [path for path in reports if not path.is_file()]
        problems = [f"{path}: no such file" for path in missing] or check(reports, binary, options.screens)
        for line in problems:
            print(line)
        for path in reports:
            if not problems:
                size, figures = path.stat().st_size / 1e6, path.read_text(encoding="utf-8").count("<img ")
                print(f"{path}: {size:.1f} MB, {figures} figures, no complaint in {' or '.join(MODES)}")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
