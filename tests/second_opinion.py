"""A second judge: numbers and verdicts from the raw files, by code that knows nothing of adlib.

`python tests/second_opinion.py [results]` prints what differs from the committed tables. Checked
are auROC, maximum balanced accuracy, best F1, and numbers at a threshold from held-out images.
"""

import csv
import io
import json
import sys
import tarfile
from pathlib import Path

import numpy as np


def packed(file):
    """{run: {part: (labels, scores)}} of a pack, and under "curve" the test by every snapshot."""
    runs = {}
    with tarfile.open(file) as archive:
        for member in archive:
            if member.name.endswith("/scores.csv"):
                text = io.TextIOWrapper(archive.extractfile(member))
                rows = list(csv.DictReader(text))
                where = np.array([row["split"] for row in rows])
                pairs = np.array([(int(row["label"]), float(row["score"])) for row in rows])
                run = runs.setdefault(member.name.split("/")[0], {})
                run |= {part: tuple(pairs[where == part].T) for part in set(where)}
                run["where"] = where
            elif member.name.endswith("/curve.safetensors"):
                content = archive.extractfile(member).read()
                runs.setdefault(member.name.split("/")[0], {})["curve"] = content
    return runs


def snapshots(run):
    """Test scores by every snapshot, as the authors make them where they do it otherwise."""
    size = int.from_bytes(run["curve"][:8], "little")
    header, data = json.loads(run["curve"][8 : 8 + size]), run["curve"][8 + size :]
    name = "authors" if "authors" in header else "scores"
    start, end = header[name]["data_offsets"]
    scores = np.frombuffer(data[start:end], "<f4").reshape(header[name]["shape"]).astype(float)
    return scores if name == "authors" else scores[:, run["where"] == "test"]


def auroc(labels, scores):
    """Share of (normal, abnormal) pairs in the right order; ties count half."""
    normal, abnormal = np.sort(scores[labels == 0]), scores[labels == 1]
    below = np.searchsorted(normal, abnormal, "left")
    equal = np.searchsorted(normal, abnormal, "right") - below
    return (below + equal / 2).sum() / (len(normal) * len(abnormal))


def counts(labels, scores, threshold):
    """True and false positives, abnormal and normal images."""
    called, abnormal = scores >= threshold, labels == 1
    return (called & abnormal).sum(), (called & ~abnormal).sum(), abnormal.sum(), (~abnormal).sum()


def balanced(tp, fp, abnormal, normal):
    """Mean of the two rates of right decisions."""
    return (tp / abnormal + 1 - fp / normal) / 2


def f1(tp, fp, abnormal, normal):
    """Harmonic mean of precision and recall."""
    return 2 * tp / (tp + fp + abnormal)


def largest(function, labels, scores):
    """Largest value over all thresholds, none called abnormal among them."""
    thresholds = [*np.unique(scores), np.inf]
    return max(function(*counts(labels, scores, t)) for t in thresholds)


def held_out(run, rate):
    """Smallest threshold that calls at most this share of the held-out normal images abnormal."""
    labels, scores = run["validation"]
    normal = np.sort(scores[labels == 0])
    allowed = int(rate * len(normal) + 1e-9)
    return np.inf if allowed >= len(normal) and rate >= 1 else normal[len(normal) - 1 - allowed]


def number(row, run):
    """What a row should hold; None where this script does not say."""
    name, form = row["metric"], row["form"]
    if not row["n_normal"]:
        return None
    labels, scores = run["test"]
    if form == "authors":
        scores = max(snapshots(run), key=lambda scores: auroc(labels, scores))
    if name == "auroc":
        return auroc(labels, scores)
    rates = {"max_balanced_accuracy": balanced, "best_f1": f1}
    if name in rates and len(scores) < 3000:  # each threshold by itself is slow on larger sets
        return largest(rates[name], labels, scores)
    fixed = {"balanced_accuracy": balanced, "f1": f1}
    if name in fixed and form == "deployable" and row["promise"]:
        limit = held_out(run, float(row["promise"]))
        tp, fp, abnormal, normal = counts(labels, scores, np.nextafter(limit, np.inf))
        return fixed[name](tp, fp, abnormal, normal)
    return None


def check(profile):
    """Differences of a profile, and how many numbers were compared."""
    runs, wrong, compared = packed(profile / "runs.tar.xz"), [], 0
    for path in sorted(profile.glob("*/*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                value = number(row, runs[row["run"]]) if row["run"] else None
                if value is None:
                    continue
                compared += 1
                if abs(value - float(row["value"])) > 1e-9:
                    wrong.append((path.name, row["cell"], row["method"], row["metric"], value))
    return wrong, compared


# 97.5 % points of Student's t with 1, 2, ... degrees of freedom.
T = (12.7062, 4.30265, 3.18245, 2.77645, 2.57058, 2.44691, 2.36462, 2.306, 2.26216)


def outcome(published, values, margin=0.03):
    """The rule of the verdict, for a number as printed and one value of ours a seed."""
    half = 0.5 * 10.0 ** -len(published.partition(".")[2])
    distance = max(0.0, abs(np.mean(values) - float(published)) - half)
    if len(values) < 2:
        return "cannot tell"
    width = T[len(values) - 2] * np.std(values, ddof=1) * np.sqrt(1 + 1 / len(values))
    near = distance <= margin + 1e-9
    if near and width <= 2 * margin:
        return "agrees"
    return "differs" if not near and distance > width else "cannot tell"


def main(results="results"):
    """Print what differs; return the number of differences."""
    wrong = 0
    for profile in sorted(path.parent for path in Path(results).glob("*/runs.tar.xz")):
        found, compared = check(profile)
        print(json.dumps({"profile": profile.name, "compared": compared, "different": len(found)}))
        for one in found:
            print(*one)
        wrong += len(found)
    return wrong


if __name__ == "__main__":
    sys.exit(min(1, main(*sys.argv[1:])))
