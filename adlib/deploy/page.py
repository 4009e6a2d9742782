"""A page of today's decisions: one HTML file, for a browser without a server or a network."""

import base64
import html
import io
from collections import Counter
from datetime import datetime
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image

from adlib.deploy import gallery, image_folders, inference, outputs
from adlib.deploy.decision_log import DecisionLog, Entry, file_state, today
from adlib.deploy.decisions import CalibratedDetector
from adlib.deploy.judging import Judged
from adlib.host import files

MARK = '<meta name="generator" content="adlib watch">'
PICTURES = 24  # of the worst images
ROWS = 1000  # of the next ones
LONGEST = 320  # pixels of a picture

_STYLE = """
:root { color-scheme: light dark; --line: #8885; --bad: #b3261e; --soft: #666; }
@media (prefers-color-scheme: dark) { :root { --bad: #ff8a80; --soft: #aaa; } }
body { font: 16px/1.45 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 76rem; }
h1 { font-size: 1.4rem; margin: 0 0 .5rem; } h2 { font-size: 1.1rem; margin: 1.5rem 0 .5rem; }
p { margin: .25rem 0; } .soft { color: var(--soft); }
.counts b { font-size: 1.3rem; } .counts span { margin-right: 1.25rem; white-space: nowrap; }
.abnormal { color: var(--bad); font-weight: 600; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr));
  gap: .75rem; }
figure { margin: 0; border: 1px solid var(--line); border-radius: .4rem; padding: .5rem;
  overflow: hidden; }
.pair { display: flex; gap: .25rem; } .wide { flex-direction: column; }
.pair img { flex: 1; min-width: 0; max-height: 14rem; object-fit: contain; }
figcaption { margin-top: .35rem; } .name { overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
"""


_FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{mark}
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="30">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>Decisions</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""
View = tuple[np.ndarray, np.ndarray]  # see `gallery.view`


class Page:
    """A page that is rewritten as a whole, and only where something is new.

    Args:
        path: of the HTML file.
        detector: whose decisions they are.
        folder: of the images, from which pictures are made again after a restart.
        log: whose entries are shown.

    Raises:
        ValueError: the file cannot be written, or something else stands there.
    """

    def __init__(
        self, path: Path, detector: CalibratedDetector, folder: Path, log: DecisionLog
    ) -> None:
        if path.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"{path}: a page is an HTML file, so its name ends in .html")
        files.check_output(path, _is_page, "a page of decisions")
        self.path, self.detector, self.folder, self.log = path, detector, folder, log
        self._views: dict[Entry, View | None] = {}
        self._written: tuple[str, int] | None = None  # day and number of entries
        self.write()

    def add(self, entry: Entry, one: Judged | None) -> None:
        """Keep the picture of a new entry of the log, if it is among the worst."""
        if one is None:
            return
        worse = sum(_rank(other) <= _rank(entry) for other in self._views)
        if worse < PICTURES:
            self._views[entry] = self._view(one)
        if len(self._views) > PICTURES:
            del self._views[max(self._views, key=_rank)]

    def write(self) -> None:
        """Write the page if there are new entries, or a new day has begun."""
        entries = [entry for entry in self.log.entries if entry.day == today()]
        state = today(), len(entries)
        if state == self._written:
            return
        decided = sorted((entry for entry in entries if entry.decision), key=_rank)
        self._views = {entry: self._seen(entry) for entry in decided[:PICTURES]}
        files.write_text(self.path, self._text(entries, decided[PICTURES:]))
        self._written = state

    def _view(self, one: Judged) -> View:
        return gallery.view(self.detector.framing, one.picture, one.maps, LONGEST)

    def _seen(self, entry: Entry) -> View | None:
        """Picture and map of an entry; None where the file is no longer what was judged."""
        if entry in self._views:
            return self._views[entry]
        if file_state(self.folder, entry.path) != entry.file:
            return None
        how = self.detector.framing, self.detector.convert
        _, pictures, _ = next(image_folders.batches(self.folder, [entry.path], 1, *how))
        if not pictures:
            return None
        _, (maps,) = inference.judge(self.detector.detector, pictures, 1)
        return self._view(Judged(entry.score, pictures[0], maps))

    def _text(self, entries: list[Entry], others: list[Entry]) -> str:
        """The page: worst ones are those of `_views`, `others` the next ones."""
        failed = [entry for entry in entries if not entry.decision]
        named = {"abnormal": 0, "normal": 0} | Counter(e.decision for e in entries if e.decision)
        counts = [f"<span><b>{n}</b> {decision}</span>" for decision, n in named.items()]
        counts += [f"<span><b>{len(failed)}</b> without a decision</span>"] if failed else []
        maps = [view[1] for view in self._views.values() if view]
        low, high = (f(map(f2, maps), default=0) for f, f2 in ((min, np.min), (max, np.max)))
        scale = mpl.colors.Normalize(low, high)
        figures = "".join(_figure(entry, view, scale) for entry, view in self._views.items())
        parts = [
            f"<h1>Decisions of {today()}</h1>",
            f'<p class="counts">{" ".join(counts)}</p>',
            f'<p class="soft">{html.escape(str(self.detector))}</p>',
            f'<p class="soft">Folder {_shown(str(self.folder))}, log {_shown(str(self.log.path))}; '
            f"written at {datetime.now():%H:%M:%S}.</p>",
            _section("Without a decision", _reasons(failed[-ROWS:])) if failed else "",
            _section("Worst first", f'<div class="grid">{figures}</div>') if figures else "",
            _section("The others", _table(others[:ROWS])) if others else "",
            f"<p>{len(others) - ROWS} more in the log.</p>" if len(others) > ROWS else "",
        ]
        return _FRAME.format(mark=MARK, style=_STYLE, body="\n".join(parts))


def _rank(entry: Entry) -> tuple[bool, float]:
    """Abnormal ones come first, then higher scores."""
    return entry.decision != "abnormal", -entry.score


def _section(title: str, content: str) -> str:
    return f"<section><h2>{title}</h2>{content}</section>"


def _figure(entry: Entry, view: View | None, scale: mpl.colors.Normalize) -> str:
    """An entry with its picture and map."""
    images = '<p class="soft">The file is no longer there.</p>'
    layout = ""
    if view:
        plain, heat = view
        both = plain, gallery.overlay(plain, scale(heat))
        words = "picture", "anomaly map"
        images = "".join(map(_image, both, words))
        layout = " wide" if plain.shape[1] > gallery.WIDE * plain.shape[0] else ""
    return (
        f'<figure><div class="pair{layout}">{images}</div><figcaption>'
        f'<div class="name">{_shown(entry.path)}</div>'
        f'<span class="{entry.decision}">{entry.decision}</span> '
        f'<span class="number">{entry.score:.4g}</span> <span class="soft">threshold '
        f"{entry.threshold:.4g}, {_clock(entry)}</span></figcaption></figure>"
    )


def _image(colours: np.ndarray, words: str) -> str:
    """An image of colours 0 to 1 `(h, w, 3)`, in the page itself."""
    file = io.BytesIO()
    Image.fromarray((colours * 255).round().astype(np.uint8)).save(file, "JPEG", quality=85)
    data = base64.b64encode(file.getvalue()).decode()
    return f'<img alt="{words}" src="data:image/jpeg;base64,{data}">'


def _reasons(entries: list[Entry]) -> str:
    """Entries without a decision, the last ones first."""
    return "".join(
        f'<p class="name"><b>{_shown(entry.path)}</b> <span class="soft">{_clock(entry)}</span><br>'
        f"{_shown(entry.error)}</p>"
        for entry in reversed(entries)
    )


def _table(entries: list[Entry]) -> str:
    rows = "".join(
        f'<tr><td class="name">{_shown(entry.path)}</td>'
        f'<td class="{entry.decision}">{entry.decision}</td>'
        f'<td class="number">{entry.score:.4g}</td>'
        f'<td class="number">{_clock(entry)}</td></tr>'
        for entry in entries
    )
    return (
        "<table><thead><tr><th>image</th><th>decision</th><th>score</th><th>time</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _clock(entry: Entry) -> str:
    return html.escape(entry.time[11:16])


def _shown(text: str) -> str:
    return html.escape(outputs.plain(text))


def _is_page(path: Path) -> bool:
    with path.open("rb") as file:
        return MARK.encode() in file.read(500)
