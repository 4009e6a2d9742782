"""The page of a day's decisions: worst first, readable without a server, safe with any name."""

import base64
import io
import json
import os
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from data_trees import save
from detectors import of_brightness
from PIL import Image

from adlib import models
from adlib.deploy import decision_log, decisions, judging, page
from adlib.deploy.decision_log import DecisionLog
from adlib.deploy.watching import watch

NAMES = ["dark.png", "bright.png", "below/<i>&middle.png"]


@pytest.fixture(scope="module")
def detector():
    """A detector whose score is the brightness of the brightest pixel."""
    torch.manual_seed(0)
    made = decisions.calibrate(models.AutoEncoder(side=32, width=2), "fpr 0.2", range(9))
    of_brightness(made.detector)
    return replace(made, threshold=100.0)


@pytest.fixture
def places(tmp_path):
    """Three pictures of known brightness, a file that is none, a log and a page."""
    for name, value in zip(NAMES, (50, 200, 150), strict=True):
        save(tmp_path / "in" / name, np.full((30, 30, 3), value, np.uint8))
    (tmp_path / "in" / os.fsdecode(b"<b>\xff.png")).write_bytes(b"no picture")
    return tmp_path / "in", tmp_path / "log.jsonl", tmp_path / "page.html"


def made(detector, places):
    """The page after a watch of what is there."""
    watch(detector, *places, interval=0.01, once=True)
    return places[2].read_text(encoding="utf-8")


def captions(text):
    return re.findall(r'<figcaption><div class="name">(.*?)</div>', text)


def test_worst_come_first_with_picture_and_map(detector, places):
    """Would catch the worst image at the end, another one's picture, or none."""
    text = made(detector, places)
    assert captions(text) == ["bright.png", "below/&lt;i&gt;&amp;middle.png", "dark.png"]
    assert "<b>2</b> abnormal" in text and "<b>1</b> normal" in text
    assert "<b>1</b> without a decision" in text and "threshold 100 for" in text
    data = [base64.b64decode(d) for d in re.findall(r"data:image/jpeg;base64,([^\"]+)", text)]
    pictures = [np.asarray(Image.open(io.BytesIO(one))) for one in data]
    assert [one.shape for one in pictures] == [(30, 30, 3)] * 6
    assert [round(float(one.mean()), -1) for one in pictures[::2]] == [200, 150, 50]
    assert pictures[1].mean() > pictures[3].mean() > pictures[5].mean()  # one scale for all


def test_names_cannot_act_and_nothing_comes_from_elsewhere(detector, places):
    """Would catch a file name that runs a script, or a page that asks a server for something."""
    text = made(detector, places)
    assert "<i>" not in text and r"&lt;b&gt;\xff.png" in text
    assert not re.search(r"<script|https?:|src=\"(?!data:)|<link", text)
    assert "default-src 'none'" in text


def test_pictures_come_back_after_a_restart(detector, places):
    """Would catch a page that forgets its pictures, or shows a replaced file as the old one."""
    first = made(detector, places)
    folder = places[0]
    again = made(detector, places)
    assert re.sub("written at [0-9:]+", "", first) == re.sub("written at [0-9:]+", "", again)
    (folder / "dark.png").unlink()
    (folder / "bright.png").write_bytes((folder / NAMES[2]).read_bytes())
    os.utime(folder / "bright.png", ns=(0, 1))
    text = made(detector, places)
    assert sorted(captions(text)) == sorted([*captions(first), "bright.png"])
    assert text.count("The file is no longer there.") == 2


def test_pictures_and_rows_are_bounded(detector, places, monkeypatch):
    """Would catch a page of gigabytes, and decisions that vanish without a word."""
    monkeypatch.setattr(page, "PICTURES", 2)
    monkeypatch.setattr(page, "ROWS", 3)
    for i in range(6):
        save(places[0] / f"{i}.png", np.full((30, 30, 3), 10 + i, np.uint8))
    text = made(detector, places)
    assert captions(text) == ["bright.png", "below/&lt;i&gt;&amp;middle.png"]
    assert text.count("<img") == 4
    rows = re.findall(r'<tr><td class="name">(.*?)</td>', text)
    assert rows == ["dark.png", "5.png", "4.png"] and "4 more in the log" in text


def test_a_page_is_of_one_day(detector, places, monkeypatch):
    """Would catch yesterday's decisions among today's, or a page that stays yesterday's."""
    made(detector, places)
    monkeypatch.setattr(page, "today", lambda: "2999-01-01")
    text = made(detector, places)
    assert "Decisions of 2999-01-01" in text and captions(text) == []
    assert "<b>0</b> abnormal" in text


def test_a_page_is_written_where_something_is_new(detector, places):
    """Would catch a disk that is written to at every look, for nothing."""
    made(detector, places)
    folder, log_file, page_file = places
    log = DecisionLog(log_file)
    shown = page.Page(page_file, detector, folder, log)
    page_file.unlink()
    shown.write()
    assert not page_file.exists()
    entry = decision_log.Entry(**json.loads(log_file.read_text().splitlines()[-1]))
    log.append(replace(entry, size=1))
    shown.write()
    assert page_file.exists()


def test_only_pictures_that_are_shown_are_kept(detector, places, monkeypatch):
    """Would catch a watch whose memory grows with the day's images."""
    monkeypatch.setattr(page, "PICTURES", 2)
    made(detector, places)
    shown = page.Page(places[2], detector, places[0], DecisionLog(places[1]))
    entry = next(iter(shown._views))
    one = judging.Judged(
        0.0,
        page.image_folders.framed(places[0] / "dark.png", "dark.png", detector.framing),
        np.zeros((1, 32, 32), np.float32),
    )
    for i in range(20):
        shown.add(replace(entry, score=250.0 + i, size=i), one)
        assert len(shown._views) == 2
    assert sorted(view.score for view in shown._views) == [268, 269]
    shown.add(replace(entry, score=1.0), one)
    assert sorted(view.score for view in shown._views) == [268, 269]
