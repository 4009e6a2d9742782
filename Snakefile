# The grid of notebooks: `snakemake --cores 2 --config profile=quick`.
#
# One job is one cell of the profile: a notebook run for one data set, category and seed. A cell is
# stale when its notebook, its paper.toml, its profile or a source of adlib has changed in content,
# not when it was only touched, or when an image of its category has come, gone or been written anew.
import os
import sys
from functools import cache
from pathlib import Path

import psutil
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from adlib.data import sets
from adlib.study.engine import execute, forkserver, gpus, progress
from adlib.study import profiles
from adlib.host import paths

PROFILE = config.get("profile", "quick")
NEEDS = profiles.load(PROFILE)  # of a cell: threads, memory, minutes, a GPU or a share of one
# `--jobs` is given with a cluster's executor, which chooses nodes and GPUs; else this machine's
# GPUs are shared out here.
ON_CLUSTER = workflow.nodes is not None or workflow.remote_exec
if ON_CLUSTER:
    os.environ.pop(gpus.SLOTS, None)
elif "mem_mb" not in workflow.global_resources:  # no more cells at once than memory holds
    workflow.register_resource("mem_mb", psutil.virtual_memory().total // 10**6)
if NEEDS["gpu"] and not ON_CLUSTER and "gpu" not in workflow.global_resources:
    slots = gpus.slots(config.get("gpus"), NEEDS["slots"])
    os.environ[gpus.SLOTS] = ",".join(slots)
    workflow.register_resource("gpu", len(slots))
RESULTS = paths.results_root().as_posix().removeprefix(f"{Path.cwd().as_posix()}/")
OUT = f"{RESULTS}/{PROFILE}/cells"


def files(folder, *patterns):
    found = (path for pattern in patterns for path in Path(folder).glob(pattern))
    return sorted(path.as_posix() for path in found if path.is_file())


def name(cell):
    return f"{cell.paper}/{cell.notebook}/{cell.id}"


stamp = cache(sets.stamp)  # many cells look at the same folder
CELLS = {name(cell): cell for cell in profiles.cells(PROFILE)}
MISSING = ", ".join(profiles.missing(PROFILE))

# What makes the report alone.
SAID = [f"{name}.py" for name in ("cards", "grids", "notes", "ran", "readme")]
REPORT = files("adlib/study", "site/**/*.py", "site/templates/**/*", "verdict/*.py", *SAID)
# How a notebook is started, what is trained first and how results are shown change no number.
STARTERS = files("adlib/study", "engine/*.py", "measured.py", "plan.py", "train_runs.py")
SOURCES = [f for f in files("adlib", "**/*.py") if f not in {*REPORT, *STARTERS}]


WATCH = progress.Watch(PROFILE)


onstart:
    todo = [j.wildcards.cell for j in workflow.dag.needrun_jobs() if j.rule.name == "cell"]
    WATCH.begin([Path(f"{OUT}/{cell}.json") for cell in todo])
    logger.addHandler(WATCH)
    if len(todo) > 1 and not ON_CLUSTER:
        execute.prepare_environment()
        forkserver.start(int(os.environ.get("ADLIB_THREADS", NEEDS["threads"])))
    if MISSING:
        print(f"Left out, not in {paths.data_root()}: {MISSING}", file=sys.stderr)


onsuccess:
    WATCH.end()


onerror:
    WATCH.end()


localrules:
    study,
    report,


def whole_study(_):
    if not CELLS:
        raise WorkflowError(f"Nothing to run for {PROFILE}: {paths.data_root()} lacks {MISSING}")
    return [f"{OUT}/{cell}.done" for cell in CELLS]


rule study:
    input:
        whole_study,


rule cell:
    input:
        notebook=lambda w: f"notebooks/{CELLS[w.cell].paper}/{CELLS[w.cell].notebook}.ipynb",
        sources=SOURCES,
        paper=lambda w: f"notebooks/{CELLS[w.cell].paper}/paper.toml",
        profile=[os.path.relpath(file) for file in profiles.files(PROFILE)],
        after=lambda w: [f"{OUT}/{name(cell)}.csv" for cell in CELLS[w.cell].after],
    output:
        csv=OUT + "/{cell}.csv",
        # Not in git: a fresh clone runs the study although it holds the tables of an earlier run.
        done=touch(OUT + "/{cell}.done"),
    params:
        # Neither output nor log: Snakemake would delete those before a second attempt.
        executed=OUT + "/{cell}.ipynb",
        images=lambda w: stamp(CELLS[w.cell].dataset, CELLS[w.cell].category),
        values=lambda w: [
            word
            for key in ("profile", "dataset", "category", "seed")
            for word in ("-p", key, str(getattr(CELLS[w.cell], key)))
        ],
    threads: NEEDS["threads"]
    priority: lambda w: CELLS[w.cell].notebook == execute.TOUR  # something to read while one waits
    resources:
        gpu=int(NEEDS["gpu"]),
        mem_mb=NEEDS["mem_mb"],
        runtime=NEEDS["runtime"],
        attempt=lambda w, attempt: attempt,
    # Does something only after a dead kernel or a killed process. A cluster's job leaves it to the
    # process that submitted it.
    retries: int(workflow.is_main_process)
    shell:
        "{sys.executable:q} -m adlib.study.engine.forkserver run adlib run {input.notebook:q} {params.executed:q} {params.values:q}"
        " --attempt {resources.attempt} --quiet"


# Made of what is there, failed cells too: `--allowed-rules report` keeps cells from running first.
# Every collection rewrites its cells.csv; this profile's is made here, of what its cells have left.
LEFT = [f for f in files(OUT, "*/*/*.csv", "*/*/*.json") if not f.startswith(f"{OUT}/runs/")]
COLLECTED = [file for file in files(RESULTS, "*/cells.csv") if not (LEFT and f"/{PROFILE}/" in file)]


rule report:
    input:
        LEFT,
        COLLECTED,
        files("notebooks", "*/*.ipynb", "*/*.toml", "*/*.csv"),  # titles, published values
        REPORT,
    output:
        RESULTS + "/report/index.html",
    shell:
        "{sys.executable:q} -m adlib report --profile {PROFILE:q} --collect"
