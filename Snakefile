# The grid of notebooks: `snakemake --cores 2 --config profile=quick`.
#
# One job is one cell of the profile: a notebook run for one data set, category and seed. A cell is
# stale when its notebook, its paper.toml, its profile or a source of adlib has changed in content,
# not when it was only touched, or when an image of its category has come, gone or been written anew.
import os
import sys
import time
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError

from adlib.data import sets
from adlib.study import execute, forkserver, profiles
from adlib.host import paths

PROFILE = config.get("profile", "quick")
THREADS = max(1, (workflow.cores or 16) // 4)  # 2 cores run 2 cells at once, 16 cores run 4
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

REPORT = files("adlib/study/site", "**/*.py", "templates/**/*")
# How a notebook is started, what is trained first and how results are shown change no number.
NAMES = ("execute", "forkserver", "kernel", "measured", "plan", "train_runs")
STARTERS = {f"adlib/study/{name}.py" for name in NAMES}
SOURCES = [f for f in files("adlib", "**/*.py") if f not in {*REPORT, *STARTERS}]


onstart:
    todo = sum(job.rule.name == "cell" for job in workflow.dag.needrun_jobs())
    os.environ["ADLIB_STUDY"] = f"{time.time()} {todo}"  # for the line of each finished cell
    if todo > 1:
        execute.prepare_environment()
        forkserver.start(int(os.environ.get("ADLIB_THREADS", THREADS)))
    if MISSING:
        print(f"Left out, not in {paths.data_root()}: {MISSING}", file=sys.stderr)


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
    threads: THREADS
    priority: lambda w: CELLS[w.cell].notebook == execute.TOUR  # something to read while one waits
    resources:
        gpu=int(profiles.load(PROFILE).get("gpu", False)),
        attempt=lambda w, attempt: attempt,
    retries: 1  # does something only after a dead kernel or a killed process
    shell:
        "{sys.executable:q} -m adlib.study.forkserver run adlib run {input.notebook:q} {params.executed:q} {params.values:q}"
        " --attempt {resources.attempt}"


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
