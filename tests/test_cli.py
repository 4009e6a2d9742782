"""The command line: what it prints, what it leaves, and its exit codes."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from data_trees import mvtec_tree
from PIL import Image

from adlib import cli, data, models
from adlib.data import synthetic
from adlib.deploy import decisions, image_folders, own_images
from adlib.host import paths
from adlib.models.training import Budget
from adlib.study import execute, runs

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


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["score", "nothing.safetensors", "{new}"], "no such file"),
        (["score", "{model}", "nothing"], "no such folder"),
        (["score", "{new}/0000.png", "{new}"], "not a saved detector"),
        (["score", "{model}", "{new}", "--device", "tpu"], "allowed on this machine: cpu"),
        (["score", "{model}", "{new}", "--batch", "0"], "at least 1"),
        (["train", "{normal}", "--out", "m", "--method", "GAN"], "there are AutoEncoder, CBiGAN"),
        (["train", "{normal}", "--out", "m", "--target", "recall"], "'fpr 0.05'"),
        (["train", "{normal}", "--out", "m", "--target", "miss 0.1"], "needs abnormal images"),
        (["train", "{new}", "--out", "m", *METHOD], "needs 19 normal images"),
        (["train", "{normal}", "--out", "m", *METHOD, "--side", "33"], "allowed are 32, 64"),
        (["export", "{model}", "m.pt"], "ends in .onnx"),
    ],
)
def test_errors_are_a_line_that_says_what_is_allowed(capsys, folders, model, arguments, allowed):
    """Would catch a traceback in a user's face, or success without a result."""
    places = {"new": folders / "new", "normal": folders / "normal", "model": model}
    code, out, errors = run(capsys, *(text.format(**places) for text in arguments))
    assert (code, out, len(errors)) == (2, "", 1)
    assert allowed in errors[0]


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


def test_the_lines_of_the_readme(folders, tmp_path, monkeypatch):
    """Would catch lines that a reader copies and that fail."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parts").mkdir()
    for name, there in {"normal": "normal", "today": "new"}.items():
        images = image_folders.image_set(folders / there)
        image_folders.write(tmp_path / "parts" / name, images.pixels(side=32))
    train = own_images.train
    small = {"method": "PatchCore", "side": 32, "backbone": "efficientnet_lite0"}
    monkeypatch.setattr(own_images, "train", lambda *a, **k: train(*a, **k, **small))
    readme = (paths.home() / "README.md").read_text(encoding="utf-8")
    (lines,) = [b for b in re.findall(r"```python\n(.*?)```", readme, re.S) if "own_images" in b]
    exec(lines, {})
    assert (tmp_path / "most_anomalous.png").is_file()
    assert len(pd.read_csv(tmp_path / "decisions.csv")) == 8


def test_run_and_report_are_commands(capsys, tmp_path, monkeypatch):
    """Would catch a parameter that is not passed on, or a failure that exits with 0."""
    calls = []
    monkeypatch.setattr(execute, "run", lambda *given: calls.append(given) or 1)
    code, _, _ = run(capsys, "run", "a.ipynb", "b.ipynb", "-p", "seed", "3", "--attempt", "2")
    assert code == 1
    assert calls == [(Path("a.ipynb"), Path("b.ipynb"), {"seed": "3"}, 2)]
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
