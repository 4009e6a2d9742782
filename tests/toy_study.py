"""A project with a copy of the package and a study of three tiny cells, to test the engine."""

import json
import os
import re
import shutil
from pathlib import Path

HOME = Path(__file__).resolve().parents[1]
PAPER = """
title = "Toy"
"""
PROFILE = """
seeds = [0]
[toy.sets]
synthetic = ["texture"]
mvtec_ad = ["two"]
absent_set = ["three"]
"""
WRITE = """
from adlib.study import profiles, rows
cell = profiles.Cell(profile, 'toy', NAME, dataset, category, seed)
with open(f'{NAME}-{category}.runs', 'a') as file:
    file.write('x')
row = dict.fromkeys(rows.COLUMNS, '') | {'paper': 'toy', 'table': NAME, 'cell': cell.id}
row |= {'category': category, 'method': 'A', 'metric': 'auroc', 'value': '0.5', 'seed': '0'}
cell.file('.csv').write_text(','.join(row) + '\\n' + ','.join(row.values()) + '\\n')
"""

REPORT = """
def build(results, notebooks):
    index = results / 'report' / 'index.html'
    index.parent.mkdir(exist_ok=True)
    index.touch()
    return index
"""


def write_notebook(project, name, before="", **grid):
    """Write notebook `name`: a cell of it notes that it ran and writes its CSV."""
    parameters = "profile = ''\ndataset = ''\ncategory = ''\nseed = 0"
    sources = [parameters, before, f"NAME = {name!r}{WRITE}"]
    cells = [
        {"id": f"c{i}", "cell_type": "code", "source": source, "outputs": []}
        | {"metadata": {"tags": [] if i else ["parameters"]}, "execution_count": None}
        for i, source in enumerate(sources)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    content = {"nbformat": 4, "nbformat_minor": 5, "cells": cells}
    content["metadata"] = {"kernelspec": kernel, "adlib": grid}
    folder = project / "notebooks" / "toy"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.ipynb").write_text(json.dumps(content), encoding="utf-8")


def environment(project):
    """Environment in which `adlib` is the copy and all folders are the copy's own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ADLIB_")}
    return kept | {"PYTHONPATH": str(project)}


def make(project):
    """Write the project into a new folder: a copy of the package, two notebooks, three cells."""
    shutil.copytree(HOME / "adlib", project / "adlib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "pyproject.toml"):
        shutil.copy(HOME / name, project / name)
    for name, text in (("profiles/quick.toml", PROFILE), ("toy/paper.toml", PAPER)):
        file = project / "notebooks" / name
        file.parent.mkdir(parents=True)
        file.write_text(text, encoding="utf-8")
    server = project / "adlib" / "study" / "engine" / "forkserver.py"
    # The tiny notebooks need none of the large libraries.
    small, n = re.subn(r'"torch",.*?"IPython"', '"IPython"', server.read_text("utf-8"), flags=re.S)
    assert n == 1
    server.write_text(small, encoding="utf-8")
    (project / "adlib" / "study" / "site" / "pages.py").write_text(REPORT, encoding="utf-8")
    image = project / "data" / "mvtec_ad" / "two" / "good" / "0.png"
    image.parent.mkdir(parents=True)
    image.write_bytes(b"image")
    write_notebook(project, "first", grid="categories")
    write_notebook(project, "second", grid="once", after="first")
    return project
