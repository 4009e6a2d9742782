"""GPUs that cells get: from a real Slurm of one node, from a made-up qsub, of this machine."""

import contextlib
import json
import re
import shutil
import subprocess
import sys

import cluster
import pytest
from toy_study import HOME, PROFILE, environment, make, write_notebook

SLURM = pytest.mark.skipif(bool(cluster.missing()), reason=f"no Slurm: {cluster.missing()}")
CELLS = {"synthetic-texture-s0", "mvtec_ad-two-s0"}
SLURM_FLAGS = ["--workflow-profile", "profiles/slurm", "--latency-wait", "5"]
# The plugin looks at its jobs more and more seldom, on a cluster rightly so.
IMPATIENT = """
import asyncio
sleep = asyncio.sleep
asyncio.sleep = lambda seconds, *result: sleep(min(seconds, 1), *result)
"""
# A cell waits for the other one, notes its GPU and its job, and is killed or sleeps on demand.
TOGETHER = """
import os, pathlib, time
pathlib.Path(f'{category}.began').touch()
end = time.time() + 300
while len(list(pathlib.Path().glob('*.began'))) < 2:
    assert time.time() < end, 'the other cell does not run at the same time'
    time.sleep(0.1)
job = os.environ.get('SLURM_JOB_ID') or os.environ.get('JOB')
with open(f'{category}.gpus', 'a') as file:
    print(os.environ['CUDA_VISIBLE_DEVICES'], job, file=file)
if (die := pathlib.Path(f'{category}.die')).exists():
    die.unlink()
    os.kill(os.getppid(), 9)
while pathlib.Path(f'{category}.sleep').exists():
    time.sleep(0.1)
"""
QSUB = """#!{python}
import os, re, subprocess, sys
gpus, memory, minutes, threads, script = sys.argv[1:]
assert (gpus, memory, minutes, threads) == ("1", "1200", "7", "1"), sys.argv
name = re.search("cell=toy/first/([a-z]*)", open(script).read())[1]
gpu = "0" if name == "mvtec" else "1"
subprocess.Popen(
    [script], env=os.environ | {{"CUDA_VISIBLE_DEVICES": gpu, "JOB": str(os.getpid())}},
    start_new_session=True, stdout=open(name + ".log", "w"), stderr=subprocess.STDOUT,
)
print(os.getpid())
"""


@pytest.fixture
def project(tmp_path):
    """Project whose two cells want a GPU each and run only at once."""
    project = make(tmp_path / "project")
    shutil.copytree(HOME / "profiles", project / "profiles")
    needs = "gpu = true\nslots = 4\nmem_mb = 1200\nruntime = 7\n[toy.sets]"
    profile = project / "notebooks" / "profiles" / "quick.toml"
    profile.write_text(PROFILE.replace("[toy.sets]", needs), encoding="utf-8")
    write_notebook(project, "first", TOGETHER, grid="categories")
    (project / "notebooks" / "toy" / "second.ipynb").unlink()
    (project / "sitecustomize.py").write_text(IMPATIENT, encoding="utf-8")
    return project


@pytest.fixture
def study(project):
    """Starts the study as the Makefile does, for the test at most; it prints to `printed`."""
    text = (HOME / "Makefile").read_text(encoding="utf-8")
    quiet = re.search(r"--quiet [a-z ]+", text).group().split()
    options = ["--keep-going", "--rerun-incomplete", "--nolock"]
    command = [sys.executable, "-m", "snakemake", "--config", "profile=quick", *quiet, *options]
    with contextlib.ExitStack() as started:

        def start(variables, *arguments):
            with (project / "printed").open("w") as printed:
                process = subprocess.Popen(
                    [*command, *arguments],
                    cwd=project,
                    env=environment(project) | variables,
                    stdout=printed,
                    stderr=subprocess.STDOUT,
                )
            started.callback(process.wait)
            started.callback(process.kill)
            return process

        yield start


def code(process):
    """Exit code of a study, once it has ended."""
    cluster.wait(lambda: process.poll() is not None)
    return process.returncode


def printed(project):
    return (project / "printed").read_text(encoding="utf-8")


def gpus(project):
    """{category: [(GPU that its cell saw, its job), ...]}, one for every start."""
    files = (project / "notebooks" / "toy").glob("*.gpus")
    return {file.stem: [tuple(x.split()) for x in file.read_text().splitlines()] for file in files}


def record(project, cell="mvtec_ad-two-s0"):
    file = project / "results" / "quick" / "cells" / "toy" / "first" / f"{cell}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"status": ""}


@pytest.fixture
def slurm(tmp_path):
    """A cluster; gives the variables by which it is found."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    with cluster.one_node(folder) as variables:
        yield variables


def shown(slurm, job):
    """What Slurm gave a job: its GPU, and whether the profile's minutes, memory and threads."""
    text = cluster.slurm(slurm, "scontrol", "show", "job", "-d", job)
    asked = "TimeLimit=00:07:00" in text and "NumCPUs=1 " in text and "mem=1200M" in text
    return re.search(r"GRES=gpu:1\(IDX:(\d)\)", text)[1], asked


@SLURM
def test_slurm(project, study, slurm):
    """Catches cells that miss the GPU that Slurm gave them, wait in turn, or ask for other than
    their profile's resources; a killed job that leaves nothing, or hangs the study; a killed study
    that does not go on."""
    # By hand, for a machine with eight GPUs: on the cluster it must count for nothing.
    variables = slurm | {"ADLIB_GPU_SLOTS": "6,7"}
    sleep = {name: project / "notebooks" / "toy" / f"{name}.sleep" for name in ("two", "texture")}
    for file in sleep.values():
        file.touch()
    first = study(variables, *SLURM_FLAGS)
    cluster.wait(lambda: all(gpus(project).get(name) for name in sleep))
    starts = gpus(project)
    given = {gpu: shown(slurm, job) for [(gpu, job)] in starts.values()}
    assert given == {"0": ("0", True), "1": ("1", True)}

    sleep["texture"].unlink()
    cluster.slurm(slurm, "scancel", starts["two"][0][1])
    cluster.wait(lambda: "broke off  toy/first  mvtec_ad-two-s0" in printed(project))
    assert "'CANCELLED'" in printed(project)
    cluster.wait(lambda: record(project, "synthetic-texture-s0")["status"] == "done")
    job = cluster.wait(lambda: gpus(project)["two"][1:])[0][1]
    assert record(project)["status"] == "unfinished"
    assert f"as job {job}" in record(project)["error"]
    first.kill()
    first.wait()
    cluster.slurm(slurm, "scancel", job)
    sleep["two"].unlink()

    again = study(variables, *SLURM_FLAGS)
    assert code(again) == 0, printed(project)
    assert record(project)["status"] == "done"
    assert {name: len(jobs) for name, jobs in gpus(project).items()} == {"texture": 1, "two": 3}
    assert "[1 of 1, about 0 min left]" in printed(project)


@SLURM
def test_what_slurm_refuses_is_said(project, study, slurm):
    """Catches a wrong account or partition whose message only a log file holds."""
    wrong = ["--default-resources", "slurm_account=me", "slurm_partition=nowhere"]
    assert code(study(slurm, *SLURM_FLAGS, *wrong)) != 0
    assert "invalid partition specified: nowhere" in printed(project)


def test_qsub(project, study, tmp_path):
    """Catches an engine that only Slurm can carry, and a killed cell that its own job restarts."""
    qsub = tmp_path / "qsub"
    qsub.write_text(QSUB.format(python=sys.executable))
    qsub.chmod(0o755)
    submit = f"{qsub} {{resources.gpu}} {{resources.mem_mb}} {{resources.runtime}} {{threads}}"
    flags = ["--executor", "cluster-generic", "--cluster-generic-submit-cmd", submit, "--jobs", "5"]
    (project / "notebooks" / "toy" / "two.die").touch()
    process = study({}, *flags)
    assert code(process) == 0, printed(project)
    assert printed(project).count("broke off") == 1
    [(first, job), (second, other)], [(third, _)] = (
        gpus(project)[name] for name in ("two", "texture")
    )
    assert (first, second, third) == ("0", "0", "1") and job != other
    assert {record(project, cell)["status"] for cell in CELLS} == {"done"}


def test_a_gpu_of_this_machine_is_shared(project, study):
    """Catches cells that wait for a GPU that the profile lets them share, or look for another."""
    process = study({"CUDA_VISIBLE_DEVICES": "5"}, "--cores", "2")
    assert code(process) == 0, printed(project)
    assert gpus(project) == {"two": [("5", "None")], "texture": [("5", "None")]}
