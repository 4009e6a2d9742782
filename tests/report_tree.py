"""A small made-up results tree, for the tests of the report."""

import json
import shutil

import nbformat
import pandas as pd
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from adlib.host.paths import home
from adlib.study import papers, summary

METRIC = "max_balanced_accuracy"
PRINTED = {"Table I": "table1_z", "Table II": "table2_x", "Table III": "table3_y"}


def sources(root):
    """Folder of the papers of a tree: the checkout's without their published numbers."""
    folder = root / "notebooks"
    if not folder.exists():
        shutil.copytree(home() / "notebooks", folder, ignore=lambda *_: ["published.csv"])
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


def row(method, value, low="", high="", metric=METRIC, form="oracle", run="r1", **more):
    return {"method": method, "value": value, "low": low, "high": high} | {
        "metric": metric, "form": form, "run": run, "n_normal": 10, "n_abnormal": 20,
        "protocol": "one_class", "commit": "c0ffee", "comparable": "", "note": "", **more,
    }  # fmt: skip


def cell(root, rows, table="table2_x", dataset="mvtec_ad", category="screw", seed=0, **more):
    """Write what one execution leaves."""
    profile, failed = more.get("profile", "study"), more.get("failed", False)
    paper = more.get("paper", "cbigan")
    folder = root / profile / paper / table
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{dataset}-{category}-s{seed}"
    nbformat.write(notebook(f"{table} for <{category}>", failed), folder / f"{stem}.ipynb")
    record = {
        "status": "failed" if failed else "done", "notebook": f"{table}.ipynb",
        "parameters": {"dataset": dataset, "category": category, "seed": seed},
        "started": "2026-01-02T03:04:05+00:00", "duration_s": 1.5, "startup_s": 0.5,
        "error": "E in cell [2]: <v> is NaN" if failed else "", "commit": "c0ffee12345678",
        "dirty": True, "versions": {"torch": "2.12"},
    }  # fmt: skip
    (folder / f"{stem}.json").write_text(json.dumps(record), encoding="utf-8")
    same = {"paper": paper, "table": table, "dataset": dataset, "category": category}
    if rows:
        made = pd.DataFrame([same | {"seed": seed, "profile": profile} | r for r in rows])
        made[summary.COLUMNS].to_csv(folder / f"{stem}.csv", index=False)
    info = PngInfo()
    info.add_text("Description", f"Examples of <{category}>")
    Image.new("L", (4, 4)).save(folder / f"{stem}__examples.png", pnginfo=info)


def run(root, name="r1", profile="study", category="screw", processor="Some CPU", **settings):
    """Write the record of a run that does as the paper and its code do, but for `settings`."""
    detector = settings.pop("detector", "CBiGAN")
    paper = papers.load("cbigan")
    values = {key: value for key, (value, _) in paper.authors["CBiGAN"].items()}
    sizes = paper.settings("CBiGAN", "mvtec_ad", category, "object")
    values |= {"patch": 0, **sizes, "ema": 0.0, **settings}
    budget = {key: values.pop(key) for key in ("steps", "batch")}
    description = {"detector": detector, "category": category, "settings": values, "budget": budget}
    record = {
        "description": description, "counts": {"train": 90, "validation": 10, "test": 30},
        "machine": {"processor": processor, "cores": 2}, "precision": "float32",
    }  # fmt: skip
    folder = root / profile / "runs"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(record), encoding="utf-8")
    (folder / f"{name}_scores.csv.gz").write_text("path,score\n", encoding="utf-8")


def publish(root, *rows, note="", origin="own", paper="cbigan"):
    """Write published rows (category, method, value and, if not Table II's, table and metric)."""
    columns = ["category", "method", "value", "printed_as", "metric"]
    rows = pd.DataFrame([(*values, "Table II", METRIC)[:5] for values in rows], columns=columns)
    rows = rows.assign(table=rows["printed_as"].map(PRINTED), dataset="mvtec_ad", origin=origin)
    rows = rows.assign(source="paper text", note=note)
    rows[papers.PUBLISHED].to_csv(sources(root) / paper / "published.csv", index=False)


def made_tree(root):
    """Three seeds of screw, one of bottle, a failed pill, two data sets, two profiles."""
    root.mkdir()
    for seed, value in enumerate([0.70, 0.72, 0.74]):
        rows = [row("CBiGAN", value, value - 0.05, value + 0.05), row("EGBAD", 0.6, 0.55, 0.65)]
        rows.append(row("CBiGAN", 0.45, 0.4, 0.5, "balanced_accuracy_at_fpr_0.05", "deployable"))
        cell(root, rows, seed=seed)
        cell(root, [row("CBiGAN", 0.4, 0.3, 0.5, "auroc", "")], "table3_y", seed=seed)
    cell(root, [row("CBiGAN", 0.9, 0.85, 0.95)], category="bottle")
    stale = [row("CBiGAN", 0.123, 0.1, 0.2)]
    cell(root, stale, category="pill", failed=True)
    cell(root, [row("CBiGAN", 0.8, comparable="another set")], category="hazelnut")
    counts = [row("-", 320, metric="n_train_normal", form="", run="")]
    cell(root, [*counts, row("-", 119, metric="n_test_anomalous", form="", run="")], "table1_z")
    cell(root, [row("CBiGAN", 0.61, 0.5, 0.7)], dataset="elpv", category="mono", profile="other")
    run(root, width=16)
    publish(
        root, ("screw", "CBiGAN", "0.75"), ("screw", "EGBAD", "0.99"), ("bottle", "CBiGAN", "0.84"),
        ("screw", "AnoGAN", "0.35"), ("hazelnut", "CBiGAN", "0.80"), ("pill", "CBiGAN", "0.8"),
        ("carpet", "CBiGAN", "0.60"), ("mean_objects", "CBiGAN", "0.73"),
        ("screw", "-", "320", "Table I", "n_train_normal"),
        ("screw", "-", "118", "Table I", "n_test_anomalous"),
        ("screw", "CBiGAN", "0.9", "Table III", "auroc"),
    )  # fmt: skip
    return root
