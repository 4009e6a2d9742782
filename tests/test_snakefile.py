"""What the engine plans and runs, with a copy of the package and three tiny cells."""

import json
import os
import re
import shutil
import subprocess
import sys
import time

import psutil
import pytest
from toy_study import HOME, environment, make, write_notebook

from adlib.data import sets

FIRST = {"toy/first/synthetic-texture-s0", "toy/first/mvtec_ad-two-s0"}
SECOND = {"toy/second/synthetic-texture-s0"}


def command(*arguments):
    """Call of Snakemake with the options that the Makefile gives."""
    makefile = (HOME / "Makefile").read_text(encoding="utf-8")
    options = ["--keep-going", "--rerun-incomplete", "--nolock"]
    assert " ".join(options) in makefile
    return [sys.executable, "-m", "snakemake", "--cores", "2", *options, *arguments]


def snakemake(project, *arguments):
    """Run Snakemake in the project; returns the exit code and what it printed."""
    done = subprocess.run(
        command(*arguments),
        cwd=project,
        env=environment(project),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def planned(project):
    """Cells that the next run would execute, and why each of them."""
    code, text = snakemake(project, "--dry-run")
    assert code == 0, text
    job = r"^ +output: results/quick/cells/(\S+)\.csv.*\n +jobid: .*\n +reason: (.*)$"
    return dict(re.findall(job, text, re.M))


def finished(project):
    """Cells that have a table."""
    results = project / "results" / "quick" / "cells"
    return {p.relative_to(results).with_suffix("").as_posix() for p in results.rglob("*.csv")}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """Project in which nothing has run."""
    return make(tmp_path_factory.mktemp("engine") / "fresh")


@pytest.fixture(scope="module")
def studied(fresh):
    """Project in which the study has run."""
    project = shutil.copytree(fresh, fresh.parent / "studied")
    code, text = snakemake(project)
    assert code == 0, text
    assert re.search(r"\[3 of 3, about 0 min left\]", text)
    assert "absent_set/three" in text, "data that is left out is not named"
    assert finished(project) == FIRST | SECOND
    return project


@pytest.fixture
def project(studied, tmp_path):
    """Copy of the studied project, to be changed."""
    return shutil.copytree(studied, tmp_path / "project")


def test_changed_images_and_an_edited_notebook(project):
    """Catches tables that stay although images of their category, or their notebook, changed."""
    (project / "data" / "mvtec_ad" / "two" / "good" / "0.png").write_bytes(b"other")
    write_notebook(project, "second", "changed = 1", grid="once", after="first")
    reasons = planned(project)
    assert set(reasons) == {"toy/first/mvtec_ad-two-s0"} | SECOND
    assert reasons["toy/first/mvtec_ad-two-s0"].startswith("Params have changed")
    assert {reasons[c] for c in SECOND} == {"Updated input files: notebooks/toy/second.ipynb"}


@pytest.mark.parametrize(
    ("change", "stale"),
    [
        pytest.param(
            lambda folder: (folder / "good" / "0.png").write_bytes(b"longer"), True, id="rewritten"
        ),
        pytest.param(lambda folder: (folder / "good" / "1.png").write_bytes(b""), True, id="added"),
        pytest.param(lambda folder: (folder / "good" / "0.png").unlink(), True, id="removed"),
        pytest.param(
            lambda folder: (folder / "good" / "0.png").rename(folder / "0.png"), True, id="moved"
        ),
        pytest.param(lambda folder: os.utime(folder / "good" / "0.png", (1, 1)), True, id="newer"),
        pytest.param(
            lambda folder: (folder / "good").rename(folder / "bad").rename(folder / "good"),
            False,
            id="same",
        ),
        pytest.param(lambda folder: (folder / ".DS_Store").write_bytes(b"x"), False, id="hidden"),
        pytest.param(lambda folder: (folder.parent / ".download.lock").touch(), False, id="beside"),
        pytest.param(
            lambda folder: shutil.copytree(folder, folder.parent / "two"), False, id="copied"
        ),
    ],
)
def test_stamp_of_images(tmp_path, monkeypatch, change, stale):
    """Catches a change of a category's files that is not seen, and one that is none but counts."""
    monkeypatch.setenv("ADLIB_DATA", str(tmp_path))
    folder = tmp_path / "mvtec_ad" / "one"
    (folder / "good").mkdir(parents=True)
    (folder / "good" / "0.png").write_bytes(b"image")
    before = sets.stamp("mvtec_ad", "one")
    assert before != sets.stamp("mvtec_ad", "two")
    change(folder)
    assert (sets.stamp("mvtec_ad", "one") != before) == stale


def test_stamp_of_other_sets(tmp_path, monkeypatch):
    """Catches a set in one folder that is looked for below its category, and a package's stamp."""
    monkeypatch.setenv("ADLIB_DATA", str(tmp_path))
    before = sets.stamp("magnetic_tile", "tile")
    (tmp_path / "magnetic_tile" / "MT_Blowhole").mkdir(parents=True)
    (tmp_path / "magnetic_tile" / "MT_Blowhole" / "0.jpg").touch()
    assert sets.stamp("magnetic_tile", "tile") != before
    (tmp_path / "elpv").mkdir()
    (tmp_path / "elpv" / "0.png").touch()
    assert sets.stamp("elpv", "mono") == ""


def test_touched_files_the_report_and_the_engine_change_no_number(project):
    """Catches a study that runs again after a checkout, or a change of the report's looks."""
    for file in [*project.rglob("*.ipynb"), *project.rglob("*.py"), *project.rglob("*.toml")]:
        file.touch()
    for name in ("engine/execute.py", "site/pages.py"):
        with (project / "adlib" / "study" / name).open("a") as file:
            file.write("# changed\n")
    assert planned(project) == {}


def test_changed_sources(project):
    """Catches tables that stay as they are although a loss, a network or a budget has changed."""
    changed = {"adlib/models/losses.py", "adlib/models/cbigan.py"}
    changed |= {"notebooks/profiles/quick.toml", "notebooks/toy/paper.toml"}
    for name in changed:
        with (project / name).open("a") as file:
            file.write("# changed\n")
    reasons = planned(project)
    assert set(reasons) == FIRST | SECOND
    for cell in FIRST:  # the second notebook has the first as its reason
        kind, files = reasons[cell].split(": ")
        assert kind == "Updated input files" and set(files.split(", ")) == changed


def test_tables_in_git_are_not_a_study(project):
    """Catches a fresh clone that calls itself up to date because it holds committed tables."""
    shutil.rmtree(project / ".snakemake")
    for file in [*project.rglob("*.done"), *(project / "results").rglob("*.ipynb")]:
        file.unlink()
    for file in project.rglob("*.csv"):
        file.touch()
    assert set(planned(project)) == FIRST | SECOND
    ignored = (HOME / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert "/results/*/cells/" in ignored


def test_failing_cell(project):
    """Catches a failure that stops other cells, runs twice, leaves no trace or exits with 0."""
    write_notebook(project, "first", "assert category != 'texture', 'no luck'", grid="categories")
    shutil.rmtree(project / "results")
    code, text = snakemake(project)
    assert code != 0
    assert "no luck" in text
    assert finished(project) == {"toy/first/mvtec_ad-two-s0"}
    failed = project / "results" / "quick" / "cells" / "toy" / "first" / "synthetic-texture-s0.json"
    assert json.loads(failed.read_text(encoding="utf-8"))["status"] == "failed"
    assert "no luck" in failed.with_suffix(".ipynb").read_text(encoding="utf-8")
    assert text.count("AssertionError in cell") == 1
    assert set(planned(project)) == {"toy/first/synthetic-texture-s0"} | SECOND


def test_report_is_made_of_what_is_there(project):
    """Catches a report that waits for failed or stale cells, or is made anew without a reason."""
    shutil.rmtree(project / "results" / "report", ignore_errors=True)
    write_notebook(project, "second", "changed = 1", grid="once", after="first")
    (project / "results/quick/cells/toy/second/synthetic-texture-s0.csv").unlink()
    arguments = ["--allowed-rules", "report", "--", "report"]
    code, text = snakemake(project, *arguments)
    assert code == 0, text
    assert (project / "results" / "report" / "index.html").is_file()
    assert not (project / "results/quick/cells/toy/second/synthetic-texture-s0.csv").is_file()
    assert "Nothing to be done" in snakemake(project, *arguments)[1]
    (project / "results/quick/cells/toy/first/synthetic-texture-s0.csv").write_text("other")
    assert "Nothing to be done" not in snakemake(project, *arguments)[1]


def test_two_studies_of_one_checkout(studied, tmp_path):
    """Catches a second study that deletes or repeats the cells of one that runs, or says not who.

    The first one's last cell waits for a file, so it runs as long as the test needs.
    """
    project = shutil.copytree(studied, tmp_path / "project")
    wait = "import pathlib, time\nwhile not pathlib.Path('go').exists():\n    time.sleep(0.1)"
    write_notebook(project, "second", wait, grid="once", after="first")
    cells = project / "results" / "quick" / "cells"
    first = subprocess.Popen(command(), cwd=project, env=environment(project))
    try:
        while not (cells / "toy" / "second" / ".synthetic-texture-s0.part.ipynb").is_file():
            assert first.poll() is None, "the study ended before the other began"
            time.sleep(0.1)
        before = {file: file.stat().st_mtime_ns for file in cells.rglob("*.csv")}
        with (project / "adlib" / "models" / "losses.py").open("a") as file:
            file.write("# changed: the second would run every cell\n")
        code, text = snakemake(project)
        assert code != 0
        assert f"runs in {cells} already (process {first.pid} on " in " ".join(text.split())
        assert {file: file.stat().st_mtime_ns for file in cells.rglob("*.csv")} == before
    finally:
        (project / "notebooks" / "toy" / "go").touch()
        code = first.wait()
    assert code == 0
    assert finished(project) == FIRST | SECOND
    code, text = snakemake(project)  # it is free again
    assert code == 0, text


def test_killed_study_goes_on(fresh, tmp_path):
    """Catches a study that starts from the beginning, or refuses to start, after a power cut."""
    project = shutil.copytree(fresh, tmp_path / "project")
    write_notebook(project, "second", "import time\ntime.sleep(600)", grid="once", after="first")
    printed = tmp_path / "printed"
    with printed.open("wb") as file:
        started = subprocess.Popen(
            command(),
            cwd=project,
            env=environment(project),
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    running = (
        project
        / "results"
        / "quick"
        / "cells"
        / "toy"
        / "second"
        / ".synthetic-texture-s0.part.ipynb"
    )
    while not (running.is_file() and "2 of 4 steps" in printed.read_text("utf-8")):
        assert started.poll() is None, "the study ended before it could be killed"
        time.sleep(0.1)
    main = psutil.Process(started.pid)
    for process in [main, *main.children(recursive=True)]:
        process.kill()
    started.wait()
    write_notebook(project, "second", grid="once", after="first")
    code, text = snakemake(project)
    assert code == 0, text
    assert finished(project) == FIRST | SECOND
    # Had a finished cell been planned again, it would have run twice.
    runs = {p.name: p.read_text() for p in (project / "notebooks" / "toy").glob("*.runs")}
    assert runs == {"first-texture.runs": "x", "first-two.runs": "x", "second-texture.runs": "x"}
