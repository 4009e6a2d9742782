"""The verdict notebooks: executed for a results folder, and what the site takes from them.

They read rows alone, so they run after everything else, and a failed cell does not take them away.
"""

import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import matplotlib.pyplot as plt

from adlib import plots
from adlib.host import files
from adlib.study import papers, pictures
from adlib.study.engine import execute
from adlib.study.profiles import VERDICT
from adlib.study.summary import COUNT, read
from adlib.study.verdict import concluding, conclusions, ledger

HERO = "hero.png"  # all papers, published against ours
PICTURE = "published_against_ours.png"  # of a paper, beside its executed notebook
CLAIMS = "claims.csv"  # the whole ledger


def run(results: Path, notebooks: Path, folder: Path) -> dict[str, Path]:
    """Execute the verdict notebook of every paper that has one, several at once.

    Written are `<paper>/verdict.ipynb` and `<paper>/published_against_ours.png`, and of all papers
    `hero.png` and `claims.csv`; what a picture shows is its caption (`pictures.look`).

    Args:
        results: folder of results; its rows are all that is read.
        notebooks: folder of the papers.
        folder: where to write.

    Returns:
        Paper to executed notebook, in the order of `papers.read`.

    Raises:
        RuntimeError: a notebook failed; it is named, and the others are there.
        ValueError, FileNotFoundError: as in `adlib.study.summary.read`.
    """
    results, notebooks, folder = (path.resolve() for path in (results, notebooks, folder))
    sources = {
        name: file
        for name, paper in papers.read(notebooks).items()
        if (file := paper.folder / f"{VERDICT}.ipynb").is_file()
    }
    executed = {name: folder / name / f"{VERDICT}.ipynb" for name in sources}
    _draw(results, notebooks, folder, list(sources))
    given = {"results": str(results), "notebooks": str(notebooks)}
    execute.prepare_environment()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        started = [
            pool.submit(_execute, source, executed[name], given) for name, source in sources.items()
        ]
    failed = [error for one in started if (error := one.exception())]
    if failed:
        raise failed[0]
    return executed


def _execute(source: Path, output: Path, given: dict[str, str]) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        execute.run_papermill(source, output, given)
    except Exception as error:  # of whatever kind, the notebook is to be named
        raise RuntimeError(f"{source}: {error}") from error


def _draw(results: Path, notebooks: Path, folder: Path, names: list[str]) -> None:
    """Pictures of all papers, and the ledger."""
    study = read(results, notebooks, go_on=True)
    made = [one for name, one in conclusions.conclude_all(study).items() if name in names]
    plots.style()
    shown = {one.paper.title: one.rows[one.rows["method"] != COUNT] for one in made}
    captions = [concluding.in_picture(one) for one in made]
    figures = {HERO: plots.papers_against_ours(shown, concluding.MARGIN)} if made else {}
    for one in made:
        place, title = f"{one.paper.name}/{PICTURE}", one.paper.title
        figures[place] = plots.published_against_ours(shown[title], title, concluding.MARGIN)
    for (place, figure), caption in zip(
        figures.items(), [" ".join(captions), *captions], strict=False
    ):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(pictures.png(figure, caption))
        plt.close(figure)
    entries = [entry for one in made for entry in one.entries]
    files.write_text(folder / CLAIMS, ledger.table(entries).to_csv(index=False))
