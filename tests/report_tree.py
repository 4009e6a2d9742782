"""A small made-up results tree, for the tests of the report."""

import hashlib
import json
import shutil

import nbformat
import pandas as pd
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from adlib.host.paths import home
from adlib.study import collect, packs, papers, profiles, rows, summary

PIXEL = (  # a PNG
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
METRIC = "max_balanced_accuracy"
PRINTED = {"Table I": "table1_z", "Table II": "table2_x", "Table III": "table3_y"}


def sources(root):
    """Folder of the papers of a tree: the checkout's without published and others' numbers."""
    folder = root / "notebooks"
    if not folder.exists():
        numbers = ["published.csv", "others.csv"]
        shutil.copytree(home() / "notebooks", folder, ignore=lambda *_: numbers)
    return folder


def read(root):
    """The study of a tree."""
    return summary.read(root, sources(root))


def notebook(title, failed=False):
    """An executed notebook with an equation, links, a script, and an error where it failed."""
    text = f"# {title}\n\nThe score $A(x)$ & co.\n\n$$A = \\frac{{1}}{{2}}$$\n\n[down](#Result)"
    text += " [code](table9.ipynb) ![far](https://cdn.example/far.png)"
    html = '<script src="https://cdn.example/x.js"></script><table><tr><td>7</td></tr></table>'
    output = nbformat.v4.new_output("display_data", {"text/html": html, "text/plain": "7"})
    error = nbformat.v4.new_output("error", ename="E", evalue="v", traceback=["\x1b[31mE\x1b[0m"])
    return nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_markdown_cell(text),
            nbformat.v4.new_markdown_cell("## Result"),
            nbformat.v4.new_code_cell("secret_code = 1", outputs=[output]),
            nbformat.v4.new_code_cell("fail()", outputs=[error] if failed else []),
        ]
    )


def verdict_notebooks(_results, folder, target):
    """Stands for `adlib.study.verdict.verdict_notebooks.run`, whose kernels take many seconds."""
    made = {}
    for name, paper in papers.read(folder).items():
        if paper.prints:
            made[name] = target / name / "verdict.ipynb"
            made[name].parent.mkdir(parents=True)
            nbformat.write(notebook(f"{paper.title}: the verdict"), made[name])
    Image.new("RGB", (8, 8)).save(target / "hero.png")
    return made


def row(method, value, low="", high="", metric=METRIC, form="oracle", run="r1", **more):
    return dict.fromkeys(rows.COLUMNS, "") | {
        "method": method, "value": value, "low": low, "high": high, "metric": metric, "form": form,
        "run": run, "n_normal": 10, "n_abnormal": 20, "protocol": "one_class", "commit": "c0ffee",
        **more,
    }  # fmt: skip


def cell(root, made, table="table2_x", dataset="mvtec_ad", category="screw", seed=0, **more):
    """Add what one execution leaves, collected; what it had left before is replaced."""
    profile, paper = more.get("profile", "study"), more.get("paper", "cbigan")
    status = more.get("status", "failed" if more.get("failed") else "done")
    failed = status == "failed"
    where = profiles.Cell(profile, paper, table, dataset, category, seed)
    folder = root / profile
    executed = folder / "cells" / paper / table / f"{where.id}.ipynb"
    executed.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook(f"{table} for <{category}>", failed), executed)
    state = {
        "paper": paper, "notebook": table, "cell": where.id, "dataset": dataset,
        "category": category, "seed": seed, "status": status,
        "error": "E in cell [2]: <v> is NaN" if failed else "",
        "started": "2026-01-02T03:04:05+00:00", "duration_s": 1.5, "cpu_s": 1.0,
        "commit": "c0ffee12345678", "dirty": True,
    }  # fmt: skip
    _add(folder / "cells.csv", pd.DataFrame([state]), ["paper", "notebook", "cell"])
    same = {"paper": paper, "table": table, "dataset": dataset, "category": category}
    path = folder / paper / f"{table}.csv"
    tables = [rows.read(path)] if path.is_file() else []
    tables = [old[old["cell"] != where.id] for old in tables]
    if made and status == "done":
        lines = [r | {k: v for k, v in same.items() if not r[k]} for r in made]
        own = {"cell": where.id, "seed": seed}
        lines = [own | {k: v for k, v in r.items() if v != "" or k not in own} for r in lines]
        tables.append(rows.typed(pd.DataFrame(lines)[rows.COLUMNS].astype(str), path))
    if tables:
        rows.write(pd.concat(tables), path)
    picture = folder / paper / f"{table}__{where.id}__examples.png"
    picture.unlink(missing_ok=True)
    if status == "done":
        info = PngInfo()
        info.add_text("Description", f"Examples of <{category}>")
        picture.parent.mkdir(exist_ok=True)
        Image.new("L", (4, 4)).save(picture, pnginfo=info)


def _add(path, made, keys):
    before = pd.read_csv(path, keep_default_na=False) if path.is_file() else made.head(0)
    table = pd.concat([before, made]) if len(before) else made
    table.drop_duplicates(keys, keep="last").to_csv(path, index=False)


def run(root, name="r1", profile="study", category="screw", processor="Some CPU", **settings):
    """Pack a run that does as the paper and its code do, but for `settings`; rows get its key."""
    detector = settings.pop("detector", "CBiGAN")
    paper = papers.load("cbigan")
    values = {key: value for key, (value, _) in paper.authors["CBiGAN"].items()}
    sizes = paper.settings("CBiGAN", "mvtec_ad", category, "object")
    values |= {"patch": 0, **sizes, "ema": 0.0, **settings}
    budget = {key: values.pop(key) for key in ("steps", "batch")}
    description = {
        "detector": detector, "category": category, "settings": values, "budget": budget,
        "dataset": "mvtec_ad", "protocol": "one_class", "seed": 0, "images": "i", "split": "s",
        "code": name,
    }  # fmt: skip
    scores = "path,label,kind,split,score\n"
    record = {
        "description": description, "counts": {"train": 90, "validation": 10, "test": 30},
        "machine": {"processor": processor, "cores": 2}, "precision": "float32", "status": "done",
        "train_s": 9.0, "score_s": 1.0,
        "files": {"scores.csv": hashlib.sha256(scores.encode()).hexdigest()},
        "versions": {"torch": "2.12"},
    }  # fmt: skip
    key, folder = packs.digest(json.loads(json.dumps(description))), root / profile
    archive, names = folder / "runs.tar.xz", folder / "names.json"  # the tests' name to the key
    known = json.loads(names.read_text()) if names.is_file() else {}
    runs = dict(packs.read(archive)) if archive.is_file() else {}
    runs.pop(known.get(name), None)
    files = {"record.json": json.dumps(record).encode(), "scores.csv": scores.encode()}
    collect.write_runs(folder, runs | {key: packs.Packed(files)})
    for path in folder.glob("*/*.csv"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(f",{known.get(name, name)},", f",{key},"), encoding="utf-8")
    names.write_text(json.dumps(known | {name: key}))


def publish(root, *rows, note="", origin="own", paper="cbigan"):
    """Write published rows (category, method, value and, if not Table II's, table and metric)."""
    columns = ["category", "method", "value", "printed_as", "metric"]
    rows = pd.DataFrame([(*values, "Table II", METRIC)[:5] for values in rows], columns=columns)
    rows = rows.assign(table=rows["printed_as"].map(PRINTED), dataset="mvtec_ad", origin=origin)
    rows = rows.assign(source="paper text", note=note)
    rows[papers.PUBLISHED].to_csv(sources(root) / paper / "published.csv", index=False)


def publish_others(root, *rows, form=""):
    """Write values of another implementation for Table II (category, method, value)."""
    rows = pd.DataFrame(rows, columns=["category", "method", "value"])
    rows = rows.assign(tables="table2_x", dataset="mvtec_ad", metric=METRIC, protocol="one_class")
    rows = rows.assign(form=form, implementation="Somebody", source="a README", note="")
    rows[papers.OTHERS].to_csv(sources(root) / "cbigan" / "others.csv", index=False)


def made_tree(root):
    """Three seeds of screw, one of bottle, a failed pill, two data sets, two profiles."""
    root.mkdir()
    for seed, value in enumerate([0.71, 0.72, 0.73]):
        made = [row("CBiGAN", value, value - 0.05, value + 0.05), row("EGBAD", 0.6, 0.55, 0.65)]
        made.append(row("CBiGAN", 0.45, 0.4, 0.5, "balanced_accuracy_at_fpr_0.05", "deployable"))
        cell(root, made, seed=seed)
        cell(root, [row("CBiGAN", 0.43, 0.3, 0.5, "auroc", "")], "table3_y", seed=seed)
    cell(root, [row("CBiGAN", 0.9, 0.85, 0.95)], category="bottle")
    stale = [row("CBiGAN", 0.123, 0.1, 0.2)]
    cell(root, stale, category="pill", failed=True)
    cell(root, [row("CBiGAN", 0.8, comparable="another set")], category="hazelnut")
    counts = [row("-", 320, metric="n_train_normal", form="", run="")]
    cell(root, [*counts, row("-", 119, metric="n_test_abnormal", form="", run="")], "table1_z")
    cell(root, [row("CBiGAN", 0.61, 0.5, 0.7)], dataset="elpv", category="mono", profile="other")
    run(root, width=16)
    publish(
        root, ("screw", "CBiGAN", "0.75"), ("screw", "EGBAD", "0.99"), ("bottle", "CBiGAN", "0.84"),
        ("screw", "AnoGAN", "0.35"), ("hazelnut", "CBiGAN", "0.80"), ("pill", "CBiGAN", "0.8"),
        ("carpet", "CBiGAN", "0.60"), ("mean_objects", "CBiGAN", "0.73"),
        ("screw", "-", "320", "Table I", "n_train_normal"),
        ("screw", "-", "118", "Table I", "n_test_abnormal"),
        ("screw", "CBiGAN", "0.9", "Table III", "auroc"),
    )  # fmt: skip
    return root
