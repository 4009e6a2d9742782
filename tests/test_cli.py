"""The command line: what it prints, what it leaves, and its exit codes."""

import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from data_trees import mvtec_tree
from PIL import Image

from adlib import cli, data, deploy, models
from adlib.data import Conversion, synthetic
from adlib.deploy import decisions, image_folders
from adlib.models.training import Budget
from adlib.study import runs
from adlib.study.engine import execute

METHOD = ["--method", "AutoEncoder", "--side", "32", "--steps", "2", "--device", "cpu"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """40 normal images, and a folder with four of either kind to judge."""
    root = tmp_path_factory.mktemp("command line")
    images, _, rows = synthetic.generate("texture", 32, 40, 4, 4)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    test = np.array([row[3] == "test" for row in rows])
    image_folders.write(root / "normal", pixels[~test])
    image_folders.write(root / "new", pixels[test])
    return root


@pytest.fixture(scope="module")
def model(folders):
    """A saved detector."""
    detector = models.CBiGAN(side=32, width=2)
    pixels = image_folders.image_set(folders / "normal").pixels(side=32)
    made = decisions.calibrate(detector, "fpr 0.05", detector.score(pixels))
    return made.save(folders / "model.safetensors")


def run(capsys, *arguments):
    """Exit code, what was printed, and the errors without the progress bar."""
    code = cli.main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    errors = [line for line in printed.err.replace("\r", "\n").splitlines() if "|" not in line]
    return code, printed.out, [line for line in errors if line.strip()]


def test_train_then_score(capsys, folders, tmp_path, monkeypatch):
    """Would catch commands that do not fit together, or more than a line of output."""
    monkeypatch.chdir(tmp_path)
    code, out, _ = run(capsys, "train", folders / "normal", *METHOD, "--out", "m.safetensors")
    assert (code, out.count("\n")) == (0, 1)
    assert "set on 19 normal images" in out
    assert "m.safetensors" in out
    code, out, _ = run(capsys, "score", "m.safetensors", folders / "new")
    assert (code, out.count("\n")) == (0, 1)
    assert out.startswith("8 images: ")
    assert len(pd.read_csv("decisions.csv")) == 8


def test_range_and_page_reach_the_detector(capsys, folders, tmp_path):
    """Would catch an option that is not passed on, and a warning that nobody sees."""
    deep = tmp_path / "deep"
    deep.mkdir()
    for source in (folders / "normal").iterdir():
        values = np.asarray(Image.open(source).convert("L")).astype(np.uint16)
        pages = [Image.fromarray(values), Image.fromarray(values * 16)]
        name = source.with_suffix(".tif").name
        pages[0].save(deep / name, save_all=True, append_images=pages[1:])
    out = tmp_path / "m.safetensors"
    command = ["train", deep, *METHOD, "--out", out]
    code, _, errors = run(capsys, *command, "--page", 2)
    assert (code, "Give range=" in errors[-1]) == (2, True)
    code, _, errors = run(capsys, *command, "--page", 2, "--range", 0, 4095)
    assert (code, [line for line in errors if "near-copies" not in line]) == (0, [])
    assert decisions.load(out).convert == Conversion((0, 4095), 2)
    code, _, errors = run(capsys, *command, "--page", 1, "--range", 0, 4095)
    assert code == 0
    assert errors[-1].startswith("adlib train: warning: The values of ")


def test_score_writes_csv_and_gallery_where_told(capsys, folders, model, tmp_path):
    """Would catch an option that is not passed on."""
    csv, picture = tmp_path / "below" / "d.csv", tmp_path / "below" / "g.png"
    options = ["--csv", csv, "--gallery", picture, "--batch", "3", "--device", "cpu"]
    assert run(capsys, "score", model, folders / "new", *options)[0] == 0
    assert len(pd.read_csv(csv)) == 8
    with Image.open(picture) as image:
        assert image.width > 100


def test_unreadable_files_are_exit_code_1(capsys, folders, model, tmp_path):
    """Would catch a script that goes on as if all images had been judged."""
    mixed = tmp_path / "mixed"
    image_folders.write(mixed, image_folders.image_set(folders / "new").pixels(slice(2), 32))
    (mixed / "bad.png").write_bytes(b"no picture")
    code, out, errors = run(capsys, "score", model, mixed, "--csv", tmp_path / "d.csv")
    assert code == 1
    assert out.startswith("3 images: ")
    assert "1 without a decision" in out
    assert errors == []
    assert pd.read_csv(tmp_path / "d.csv").error.notna().sum() == 1


def test_watch_ends_well_by_a_signal(capsys, folders, model, tmp_path, monkeypatch):
    """Would catch an option that is not passed on, and a service whose every end is a failure."""
    monkeypatch.chdir(tmp_path)
    log, page = tmp_path / "l.jsonl", tmp_path / "p.html"
    options = ["--log", log, "--page", page, "--interval", 0.01, "--device", "cpu"]
    watch, before = deploy.watch, signal.getsignal(signal.SIGTERM)
    for number in (signal.SIGTERM, signal.SIGINT):

        def ended(*given, stop, number=number, **more):
            counts = watch(*given, **more | {"once": True})
            signal.raise_signal(number)
            assert stop.is_set()
            return counts

        monkeypatch.setattr(deploy, "watch", ended)
        code, out, errors = run(capsys, "watch", model, folders / "new", *options)
        assert (code, errors, out.count("\n")) == (0, [], 1)
        assert signal.getsignal(signal.SIGTERM) == before
    assert len(log.read_text().splitlines()) == 8 and page.is_file()
    monkeypatch.setattr(deploy, "watch", watch)
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "bad.png").write_bytes(b"no picture")
    code, out, _ = run(capsys, "watch", model, tmp_path / "odd", *options[2:], "--once")
    assert code == 1 and out.startswith("1 images: 0 normal, 0 abnormal, 1 without a decision")
    assert (tmp_path / "decisions.jsonl").is_file()


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["score", "nothing.safetensors", "{new}"], "no such file"),
        (["score", "{model}", "nothing"], "no such folder"),
        (["score", "{new}/0000.png", "{new}"], "not a saved detector"),
        (["score", "{model}", "{new}", "--device", "tpu"], "allowed on this machine: cpu"),
        (["score", "{model}", "{new}", "--batch", "0"], "at least 1"),
        (["score", "{model}", "{new}", "--masks", "m"], "no pixel threshold"),
        (["train", "{normal}", "--tiles", "0", "--out", "m", *METHOD], "tiles=0: a whole number"),
        (["train", "{normal}", "--out", "m", "--method", "GAN"], "there are ALAD, ALOCC"),
        (["train", "{normal}", "--out", "m", "--target", "recall"], "'fpr 0.05'"),
        (["train", "{normal}", "--out", "m", "--target", "miss 0.1"], "needs abnormal images"),
        (["train", "{new}", "--out", "m", *METHOD], "needs 19 normal images"),
        (["train", "{normal}", "--out", "m", "--seed", "-1"], "seed=-1: allowed is at least 0"),
        (["train", "{normal}", "--out", "m", "--steps", "0"], "at least 1"),
        (["train", "{normal}", "--out", "m", *METHOD, "--side", "33"], "allowed are 32, 64"),
        (["watch", "{model}", "nothing"], "no such folder"),
        (["watch", "{model}", "{new}", "--interval", "-1"], "seconds above 0"),
        (["export", "{model}", "m.pt"], "ends in .onnx"),
    ],
)
def test_errors_are_a_line_that_says_what_is_allowed(capsys, folders, model, arguments, allowed):
    """Would catch a traceback in a user's face, or success without a result."""
    places = {"new": folders / "new", "normal": folders / "normal", "model": model}
    code, out, errors = run(capsys, *(text.format(**places) for text in arguments))
    assert (code, out, len(errors)) == (2, "", 1)
    assert allowed in errors[0]


def test_a_place_for_the_detector_is_tried_before_the_training(
    capsys, folders, tmp_path, monkeypatch
):
    """Would catch hours of training whose detector cannot be written, or replaces a photo."""
    monkeypatch.setattr(deploy, "train", lambda *_, **__: pytest.fail("it was trained"))
    photo = folders / "new" / "0000.png"
    for out, said in [
        (photo, "is not a saved detector"),
        (tmp_path, "is a folder"),
        (photo / "m.safetensors", "is a file"),
        ("/proc/m.safetensors", "cannot be written"),
    ]:
        code, _, errors = run(capsys, "train", folders / "normal", "--out", out)
        assert code == 2 and said in errors[-1]


def test_a_crash_is_exit_code_3(capsys, folders, model, tmp_path, monkeypatch):
    """Would catch a script that takes a crash for a folder with some unreadable images."""
    for error, lines in [(OSError(28, "No space left"), 1), (TypeError("a fault"), 3)]:

        def crash(*_, error=error, **__):
            raise error

        monkeypatch.setattr(deploy, "score_folder", crash)
        code, out, errors = run(capsys, "score", model, folders / "new", "--csv", tmp_path / "d")
        assert (code, out) == (3, "") and str(error) in errors[-1]
        assert (len(errors) > 1) == (lines > 1)  # a traceback for a fault of ours alone


def test_names_that_a_console_cannot_show(folders, model, tmp_path, monkeypatch):
    """Would catch an exit code of failure after all images were judged."""
    image_folders.write(tmp_path / "in", image_folders.image_set(folders / "new").pixels([0], 32))
    (tmp_path / "in" / os.fsdecode("\N{SNOWMAN}".encode() + b"\xff.txt")).touch()
    console = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", console)
    arguments = ["score", str(model), str(tmp_path / "in"), "--csv", str(tmp_path / "d.csv")]
    assert cli.main(arguments) == 0
    console.flush()
    assert rb"e.g. \u2603\xff.txt" in console.buffer.getvalue()


def test_a_tilde_is_expanded(capsys, folders, model, tmp_path, monkeypatch):
    """Would catch results in a folder named `~`, for `--csv=~/d.csv` a shell does not expand."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert (
        run(capsys, "score", model, folders / "new", "--csv=~/d.csv", "--gallery=~/g.png")[0] == 0
    )
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix in (".csv", ".png")) == [
        "d.csv",
        "g.png",
    ]


def test_usage_errors_are_exit_code_2(tmp_path):
    """Would catch a package that cannot be called, or help that waits for torch to load."""
    for arguments, said in [([], "required: command"), (["judge"], "invalid choice")]:
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "adlib", *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=False,
        )
        assert done.returncode == 2
        assert said in done.stderr
        assert not re.search(r"\| +torch$", done.stderr, re.M)


def test_run_and_report_are_commands(capsys, tmp_path, monkeypatch):
    """Would catch a parameter that is not passed on, or a failure that exits with 0."""
    calls = []
    monkeypatch.setattr(execute, "run", lambda *given: calls.append(given) or 1)
    code, _, _ = run(capsys, "run", "a.ipynb", "b.ipynb", "-p", "seed", "3", "--attempt", "2")
    assert code == 1
    assert calls == [(Path("a.ipynb"), Path("b.ipynb"), {"seed": "3"}, 2, False)]
    monkeypatch.undo()
    code, _, errors = run(capsys, "run", "a.ipynb", "b.txt")
    assert code == 2 and "does not end in .ipynb" in errors[0]


def test_data_sets_are_listed_and_checked(capsys, tmp_path, no_data):
    """Would catch a set that is called whole although images are missing."""
    code, out, _ = run(capsys, "data", "list")
    at_hand = dict(re.findall(r"^(\S+) +at hand: (\w+)", out, re.M))
    assert code == 0 and at_hand["elpv"] == "all" and at_hand["mvtec_ad"] == "none"
    code, out, _ = run(capsys, "data", "check", "synthetic")
    assert code == 0 and out.count("as published") == 2
    mvtec_tree(tmp_path / "data" / "mvtec_ad" / "bottle")
    code, out, _ = run(capsys, "data", "check", "mvtec_ad", "bottle")
    assert code == 1 and "train normal images" in out and "instead of 209" in out
    code, out, _ = run(capsys, "data", "check", "mvtec_ad")
    assert code == 1 and out.count("\n") == 15 and "adlib data get mvtec_ad screw" in out
    assert "no counts are published" in run(capsys, "data", "check", "digits", "3")[1]
    assert "name the category" in run(capsys, "data", "check", "folder")[2][0]
    code, _, errors = run(capsys, "data", "check", "mvtec_ad", "screw")
    assert code == 2 and "adlib data get mvtec_ad screw" in errors[0]
    assert run(capsys, "data", "get", "elpv")[0] == 2


def test_images_travel_in_a_pack(capsys, tmp_path, no_data):
    """Would catch a pack that is not found under the name it is given, or comes without terms."""
    mvtec_tree(tmp_path / "here" / "mvtec_ad" / "bottle", counts=(4, 2, 2))
    (tmp_path / "data").mkdir()
    words = ["data", "pack", "mvtec_ad", "bottle", "--root", tmp_path / "here"]
    code, _, errors = run(capsys, *words, tmp_path / "data")
    assert code == 2 and "--side" in errors[0]
    code, out, _ = run(capsys, *words, "--side", "8", tmp_path / "data")
    assert code == 0 and "mvtec_ad-bottle.images.xz: 8 images" in out
    assert "Licence: CC BY-NC-SA 4.0" in out
    assert re.search(r"^mvtec_ad +at hand: bottle ", run(capsys, "data", "list")[1], re.M)
    code, out, _ = run(capsys, "data", "check", "mvtec_ad", "bottle")
    assert code == 1 and "packed at 8 px" in out and "images of 16 px instead of 900 px" in out


def test_runs_travel_from_store_to_store(capsys, tmp_path):
    """Would catch commands that do not fit together, and an archive that is called unpacked."""
    split = data.one_class(data.load("synthetic", "texture"))
    trained = runs.get(
        "AutoEncoder", split, Budget(1, 4, "float32"), device="cpu", side=32, width=2
    )
    archive, store = tmp_path / "all.tar.xz", tmp_path / "elsewhere"
    code, out, _ = run(capsys, "runs", "list", "--root", store)
    assert code == 0 and "no finished run" in out
    assert "1 runs" in run(capsys, "runs", "pack", archive)[1]
    for new in ("1 new runs", "0 new runs"):
        assert new in run(capsys, "runs", "unpack", archive, "--root", store)[1]
    code, out, _ = run(capsys, "runs", "list", "--root", store)
    assert code == 0 and re.search(rf"{trained.key} +AutoEncoder.* False$", out, re.M)
    code, _, errors = run(capsys, "runs", "pack", archive, "0" * 16)
    assert code == 2 and "holds no finished run 0000" in errors[0]
    assert run(capsys, "runs", "unpack", tmp_path / "nothing.tar.xz")[0] == 2


def test_a_plan_that_cannot_be_made_is_one_line(capsys, tmp_path):
    """Would catch an hour of training whose pack has no name, and a plan for no process."""
    pack = ["--pack", tmp_path / "out.zip", "--minutes", 1]
    for more, message in (
        (["plan", "--jobs", 0], "jobs=0: must be at least 1"),
        (["train-runs", "--pack", tmp_path / "out.tar", "--minutes", 0], "minutes=0: must be more"),
        (["train-runs", *pack], "out.zip: a pack ends in .tar or .tar.xz"),
    ):
        code, out, errors = run(capsys, *more, "--profile", "smoke", "--device", "cpu")
        assert (code, out) == (2, "") and len(errors) == 1 and message in errors[0]
