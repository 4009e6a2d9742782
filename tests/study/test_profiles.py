"""Profiles and cells."""

import re

import pandas as pd
import pytest

from adlib import data, models
from adlib.data import sets
from adlib.host import paths
from adlib.models.training import Budget
from adlib.study import profiles, results
from adlib.study.profiles import Cell

CELL = Cell("smoke", "cbigan", "table2_balanced_accuracy", "synthetic", "object", 0)


def test_unknown_names_are_errors():
    """Would catch a mistyped profile or method that runs something else."""
    with pytest.raises(
        ValueError, match="no profile 'quik'; there are cpu, gpu, paper, quick, smoke"
    ):
        profiles.load("quik")
    with pytest.raises(ValueError, match="did you mean CBiGAN"):
        profiles.method("quick", "cbigan", "CBiGAM", "elpv", "mono", "object")


@pytest.mark.parametrize("profile", profiles.names())
def test_every_method_of_every_profile_can_be_built(profile):
    """Would catch a setting or a size in a profile that no detector takes, and missing steps."""
    for paper in profiles.papers(profile):
        shown = {(d, c, data.info(d).modes[c]) for d, c in profiles.all_sets(profile, paper)}
        for method in profiles.methods(paper):
            for where in shown:
                name, settings, budget = profiles.method(profile, paper, method, *where)
                models.REGISTRY[name].Settings(**settings)  # networks of the paper's size take long
                Budget(**budget)
                assert ("steps" in budget) == issubclass(models.REGISTRY[name], models.Trainable)


PROFILE = """
title = "Toy"
about = "A toy."
seeds = [0]
[detectors.GANomaly]
steps = 5
[ganomaly]
search_images = 3
[ganomaly.sets]
mnist = "*"
[ganomaly.notebooks.table1_mnist]
mnist = ["1"]
[ganomaly.detectors.GANomaly]
width = 8
"""
MORE = """
extends = "toy"
title = "More"
[ganomaly.sets]
digits = ["0"]
[ganomaly.notebooks.table1_mnist]
[ganomaly.detectors.GANomaly]
batch = 4
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes profiles into a folder that the study looks into."""
    monkeypatch.setenv("ADLIB_PROFILES", str(tmp_path))
    return lambda name, text: (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")


def test_a_profile_extends_another(write):
    """Would catch settings that are lost on the way, and a choice of data that is only added to."""
    write("toy", PROFILE)
    write("more", MORE)
    _, settings, budget = profiles.method("more", "ganomaly", "GANomaly", "digits", "0", "object")
    assert settings == {"width": 8} and budget == {"steps": 5, "batch": 4}
    assert profiles.load("more")["title"] == "More" and profiles.load("more")["seeds"] == [0]
    assert profiles.sets("more", "ganomaly") == [("digits", "0")]
    assert profiles.sets("more", "ganomaly", "table1_mnist") == []
    assert [file.name for file in profiles.files("more")] == ["more.toml", "toy.toml"]
    write("toy", f"extends = 'more'{PROFILE}")
    with pytest.raises(ValueError, match="extends itself"):
        profiles.load("more")


def test_a_profile_keeps_the_papers_that_it_names(write):
    """Would catch days of cells that a profile of an hour takes from the one that it extends."""
    assert set(profiles.papers("gpu")) == {"cbigan", "ganomaly", "noisy_anogan", "cyclegan"}
    named = {(p, n) for p in profiles.papers("gpu") for n in profiles.notebooks(p)}
    assert {n for p, n in named if profiles.sets("gpu", p, n)} == {
        *("table2_balanced_accuracy", "table3_auroc", "table1_mnist", "table2_cifar10"),
        *("table_mnist", "table2_caltech", "table_accuracy_zfn"),
    }
    paper = profiles.method("paper", "ganomaly", "GANomaly", "mnist", "3", "object")
    name, settings, budget = profiles.method("gpu", "ganomaly", "GANomaly", "mnist", "3", "object")
    assert (name, settings) == paper[:2] and budget == paper[2] | {"precision": "bfloat16"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("about", "abuot"), "toy.toml: no 'abuot'; did you mean about"),
        (("[ganomaly]", "[ganomali]"), "toy.toml: no 'ganomali'; did you mean ganomaly"),
        (("search_images", "serach_images"), "ganomaly: no 'serach_images'; did you mean search"),
        (("search_images = 3", 'without = ["EGBED"]'), "no 'EGBED'; did you mean EGBAD"),
        (("search_images = 3", 'without = "EGBAD"'), "without = 'EGBAD' is no list"),
        (("seeds = [0]", "seeds = 0"), "toy.toml: seeds = 0 is no list"),
    ],
)
def test_a_mistake_in_a_profile_names_its_file(write, change, message):
    """Would catch a mistyped key that is passed over in silence."""
    write("toy", PROFILE.replace(*change, 1))
    with pytest.raises(ValueError, match=message):
        profiles.load("toy")


def test_forgotten_steps_are_an_error(write):
    """Would catch a GAN that is trained for one step because its profile names none."""
    write("toy", PROFILE.replace("steps = 5", "batch = 5"))
    split = data.one_class(data.load("synthetic", "object"), seed=0)
    cell = Cell("toy", "ganomaly", "table_mvtec", "synthetic", "object", 0)
    with pytest.raises(ValueError, match="profile toy, ganomaly: no steps for GANomaly"):
        results.run(cell, "GANomaly", split)


def test_paper_profile_has_the_papers_sizes():
    """Would catch image sizes, rotation or alpha that differ from section V-B of the paper."""
    _, screw, _ = profiles.method("paper", "cbigan", "CBiGAN", "mvtec_ad", "screw", "object")
    assert (screw["side"], screw["rotation"], screw["alpha"]) == (128, (-45.0, 45.0), 1e-4)
    _, pill, _ = profiles.method("paper", "cbigan", "EGBAD", "mvtec_ad", "pill", "object")
    assert (pill["rotation"], pill["alpha"]) == ((0.0, 0.0), 0.0)
    _, grid, _ = profiles.method("paper", "cbigan", "DoubleAE", "mvtec_ad", "grid", "texture")
    assert (grid["side"], grid["patch"], grid["rotation"]) == (512, 64, (0.0, 45.0))
    assert grid["alpha"] == 1.0


def test_alpha_keeps_the_weight_of_a_pixel():
    """Would catch a profile that shrinks images and forgets that the consistency loss is a sum."""
    for profile in ("quick", "cpu"):
        _, small, _ = profiles.method(profile, "cbigan", "CBiGAN", "mvtec_ad", "pill", "object")
        values = small["side"] ** 2 * small.get("channels", 3)
        assert small["alpha"] * values == pytest.approx(1e-4 * 128 * 128 * 3)


def test_cells_are_those_whose_data_are_at_hand(tmp_path, monkeypatch):
    """Would catch a planned cell without images, and one that is left out without being named."""
    monkeypatch.setenv("ADLIB_DATA", str(tmp_path))
    mosaics, digits = sorted(profiles.cells("cpu"), key=lambda cell: cell.paper)[::-1]
    assert (mosaics.dataset, mosaics.category) == ("ir_mnist", "digits")  # they come with a package
    assert (digits.notebook, digits.dataset) == ("contamination", "digits")
    planned = {pair for p in profiles.papers("cpu") for pair in profiles.all_sets("cpu", p)}
    missing = {f"{d}/{c}" for d, c in planned} - {"ir_mnist/digits", "digits/0"}
    assert set(profiles.missing("cpu")) == missing and "mvtec_ad/screw" in missing
    (tmp_path / "mvtec_ad" / "screw").mkdir(parents=True)
    made = [cell for cell in profiles.cells("cpu") if cell.paper == "cbigan"]
    assert {cell.category for cell in made} == {"screw"}
    assert "mvtec_ad/screw" not in profiles.missing("cpu")
    (table3,) = (cell for cell in made if cell.notebook == "table3_auroc")
    assert [cell.notebook for cell in table3.after] == ["table2_balanced_accuracy"]


def test_stars_stand_for_the_catalogues_categories():
    """Would catch a category that the grid of a profile forgets, or a whole set taken for one."""
    assert sets.ALL["mnist"] == list("0123456789") and len(sets.ALL["mvtec_ad"]) == 15
    assert sets.ALL["ir_mnist"] == ["all", "digits"] and "all" not in sets.ALL["caltech256"]


def test_a_notebook_may_have_sets_of_its_own(tmp_path, monkeypatch):
    """Would catch a table on another table's data, and a cell that waits for one not planned."""
    monkeypatch.setenv("ADLIB_DATA", str(tmp_path))
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    made = [cell for cell in profiles.cells("cpu") if cell.paper == "ganomaly"]
    where = {name: {(c.dataset, c.category) for c in made if c.notebook == name}
             for name in {c.notebook for c in made}}  # fmt: skip
    assert where["table1_mnist"] == {("mnist", digit) for digit in sets.ALL["mnist"]}
    assert where["figure_sweeps"] == {("mnist", "2")}
    assert "table2_cifar10" not in where and "cifar10/bird" in profiles.missing("cpu")
    waited = {after.file("") for cell in made for after in cell.after}
    assert waited and waited <= {cell.file("") for cell in made}


def test_settings_of_a_data_set_win_over_those_of_a_detector():
    """Would catch MNIST trained at the size that MVTec AD needs."""
    for dataset, category, side in (("mnist", "3", 32), ("mvtec_ad", "screw", 64)):
        _, settings, _ = profiles.method("cpu", "ganomaly", "GANomaly", dataset, category, "object")
        assert settings["side"] == side


def test_an_archive_counts_as_data(tmp_path, monkeypatch):
    """Would catch an archive that is overlooked, or a changed one that makes no cell stale."""
    monkeypatch.setenv("ADLIB_DATA", str(tmp_path))
    assert not sets.at_hand("cifar10", "bird") and sets.stamp("cifar10", "bird") == ""
    archive = tmp_path / "cifar10_jpg.tar.xz"
    archive.write_bytes(b"1")
    before = sets.stamp("cifar10", "bird")
    assert sets.at_hand("cifar10", "bird") and before
    archive.write_bytes(b"22")
    assert sets.stamp("cifar10", "bird") != before


def test_names_of_files_are_safe():
    """Would catch a category that is a path, or holds characters that Windows refuses."""
    cell = Cell("quick", "beyond", "x", "folder", "C:\\a b/c", 3)
    assert re.fullmatch(r"folder-C__a_b_c-[0-9a-f]{8}-s3", cell.id)
    assert cell.file(".csv").parent == paths.results_root() / "quick" / "cells" / "beyond" / "x"


@pytest.mark.parametrize("name", ["quick", "cpu", "gpu"])
def test_a_profile_asks_for_what_its_results_took(name):
    """Catches a profile whose cells a cluster would kill for memory or time they need."""
    profile, results = profiles.load(name), paths.home() / "results" / name
    around = 260  # MB of the processes around a kernel
    assert profile["mem_mb"] > pd.read_csv(results / "runs.csv")["host_mb"].max() + around
    seconds = pd.read_csv(results / "cells.csv")["duration_s"].max()
    seconds = max(seconds, pd.read_csv(results / "runs.csv")["train_s"].max())
    assert profile["runtime"] * 60 > 4 * seconds, "another machine may be slower"


@pytest.mark.parametrize("line", ["threads = 0", "slots = -1", "mem_mb = 0", "runtime = 0"])
def test_what_a_cell_takes_is_positive(line, tmp_path, monkeypatch):
    """Catches a cell that no machine could start."""
    (tmp_path / "mine.toml").write_text(f"seeds = [0]\n{line}\n", encoding="utf-8")
    monkeypatch.setenv("ADLIB_PROFILES", str(tmp_path))
    with pytest.raises(ValueError, match=f"mine.toml: {line}, but it must be at least 1"):
        profiles.load("mine")
