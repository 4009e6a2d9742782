"""The choices that the audit measures: one function a trap, and all of them together.

For the audit alone, as are `audit` and `traps` beside it. Each function gives the ledger of its
choice: the same runs and the same test images with and without it. A notebook shows one of them,
and the summary all.
"""

from dataclasses import replace
from functools import partial

import numpy as np

from adlib import data, metrics
from adlib.data import Split
from adlib.study import profiles, results
from adlib.study.beyond import audit, traps
from adlib.study.beyond.audit import SCORES, THRESHOLDS, TRAININGS, Ledger
from adlib.study.profiles import Cell
from adlib.study.runs import Run

PARTS = ("test", "validation")  # whose lowest abnormal score sets a threshold
BATCH = 64  # images that share their statistics in the test of GANomaly's authors
BATCH_OF_MAPS = 16  # images that share a score in the code of Bougaham et al.
WEIGHTS = np.linspace(0, 1, 11)  # values of lambda that are tried
PAPERS_WEIGHT = 0.1  # CBiGAN, Section V-B
SHARE = 0.2  # of the range of scores, the threshold of GANomaly's authors
CODE = {  # of CBiGAN's authors, where their paper says something else: setting -> their value
    "consistency loss summed": {"reduction": "sum"},  # in their first version
    "mis-paired gradient penalty": {"penalty": "authors"},
    "layers without biases": {"bias": "authors"},
}


def orders(labels: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Orders `(N,)` in which batches of test images are filled: by class, and shuffled."""
    return {
        "sorted by class": np.argsort(labels, kind="stable"),
        "shuffled": np.random.default_rng(seed).permutation(len(labels)),
    }


def batch_statistics(run: Run, split: Split, seed: int) -> Ledger:
    """GANomaly scored in training mode, by the statistics of test batches.

    Args:
        run: of GANomaly.
        split: that it was made with.
        seed: of the shuffled order.
    """
    ledger, detector = Ledger(), run.detector()
    pixels = split.pixels("test", detector.settings.side, detector.settings.channels)
    note = f"Batches of {BATCH} as in the authors' code."
    for name, order in orders(split.labels_of("test"), seed).items():
        number = partial(traps.in_mode, metrics.auroc, detector, pixels, order)
        trap = f"training mode, test {name}"
        ledger.add(SCORES, trap, "GANomaly", "auROC", run, number, True, False, note)
    return ledger


def maps_of_test(run: Run, split: Split) -> np.ndarray:
    """Anomaly maps `(N, H, W)` of the test images of a run."""
    detector = run.detector()
    side, channels = detector.settings.side, detector.settings.channels
    return detector.anomaly_map(split.pixels("test", side, channels))


def one_score_a_batch(run: Run, maps: np.ndarray) -> Ledger:
    """PatchCore's maps summed over an image, then over a batch of one class.

    Args:
        run: of PatchCore.
        maps: see `maps_of_test`.
    """
    ledger, name = Ledger(), results.label("PatchCore", run)
    note = f"Batches of {BATCH_OF_MAPS}, filled at random, anew in every resample; "
    note += "both sides are sums of maps."
    choices = {
        "sum of the map for its maximum": (traps.of_maps, "sum", "maximum", ""),
        "one score a batch": (traps.per_batch, BATCH_OF_MAPS, 1, note),
    }
    numbers = {"auROC": metrics.auroc, "best accuracy": metrics.best_accuracy}
    numbers["ZFN accuracy"] = metrics.zfn_accuracy
    for trap, (of, flattering, honest, said) in choices.items():
        for words, metric in numbers.items():
            kind, drawn = SCORES if words == "auROC" else THRESHOLDS, words != "ZFN accuracy"
            number = partial(of, metric, maps)
            ledger.add(kind, trap, name, words, run, number, flattering, honest, said, drawn)
    return ledger


def best_snapshot(found: dict[str, Run]) -> Ledger:
    """The snapshot with the best auROC on the test against the last weights.

    Args:
        found: method to its run.
    """
    ledger, trap = Ledger(), "snapshot chosen on the test"
    number = partial(traps.best_of, metrics.auroc)
    for method, run in found.items():
        tried = traps.snapshot_scores(run)
        note = f"Best of {len(tried)}; the authors look far more often."
        args = trap, method, "auROC", run, number, tried, tried[-1:], note
        ledger.add(SCORES, *args, best_of=True)
    return ledger


def ends(run: Run, cell: Cell, split: Split) -> list[np.ndarray]:
    """CBiGAN's test scores `(N,)` at lambda = 0 and 1: those of images and of features alone."""
    made = (results.rescored(run, cell, split, weight_of_features=w) for w in (0.0, 1.0))
    return [one.part("test")[1] for one in made]


def lambda_by_test(run: Run, of_ends: list[np.ndarray]) -> Ledger:
    """The weight lambda of CBiGAN's features chosen on the test against the paper's 0.1.

    Args:
        run: of CBiGAN.
        of_ends: see `ends`.
    """
    ledger, number = Ledger(), partial(traps.weighed, metrics.auroc, *of_ends)
    trap, note = "lambda chosen on the test", f"Best of 0, 0.1, ..., 1 against {PAPERS_WEIGHT}."
    args = trap, "CBiGAN", "auROC", run, number, WEIGHTS, [PAPERS_WEIGHT], note
    ledger.add(SCORES, *args, best_of=True)
    return ledger


def thresholds(found: dict[str, Run]) -> Ledger:
    """Thresholds chosen by the test labels against ones from held-out normal images.

    Args:
        found: method to its run.
    """
    ledger, trap = Ledger(), "threshold from test labels"
    for method, run in found.items():
        share, fixed = run.part("test")[0].mean(), results.deployable_threshold(run)
        note = (
            "Against 5 % false alarms on held-out normal images. To call every image abnormal "
            f"gives an F1 of {2 * share / (1 + share):.3f} and a balanced accuracy of 0.5."
        )
        for rate in ("balanced accuracy", "F1"):
            number = partial(traps.at_threshold, rate, run.part("test")[1])
            args = trap, method, rate, run, number, traps.BEST, fixed, note
            ledger.add(THRESHOLDS, *args, best_of=True)
    return ledger


def scaling_by_test_range(run: Run) -> Ledger:
    """A threshold at a share of the test's range of scores, and of that of held-out normals.

    Args:
        run: of GANomaly.
    """
    ledger, rule = Ledger(), traps.share_of_range(SHARE)
    number = partial(traps.at_threshold, "F1", run.part("test")[1])
    fixed = rule(run.part("validation")[1])  # all of them normal
    trap = "scores scaled by the test's range"
    note = f"F1 at {SHARE} of the range, against that of held-out normals."
    ledger.add(THRESHOLDS, trap, "GANomaly", "F1", run, number, rule, fixed, note)
    return ledger


def zfn_threshold(found: dict[str, Run]) -> Ledger:
    """Zero false negatives: the lowest abnormal score of the test, and of held-out images.

    Args:
        found: method to its run.
    """
    ledger, trap = Ledger(), "ZFN threshold from test labels"
    for method, run in found.items():
        held, scores = run.part("validation")
        fixed = scores[held == 1].min()
        note = f"Against {held.sum()} held-out abnormal images."
        for rate in ("accuracy", "recall"):
            number = partial(traps.at_threshold, rate, run.part("test")[1])
            name = results.label(method, run)
            args = trap, name, rate, run, number, traps.lowest_abnormal, fixed, note
            ledger.add(THRESHOLDS, *args, resampled=rate == "recall")
    return ledger


def code_against_paper(run: Run, cell: Cell, split: Split) -> Ledger:
    """What CBiGAN's public code does otherwise than its paper, one setting at a time.

    Another layer of features scores the same weights. The others are trainings, so that more of
    them follow which differ in their seed alone.

    Args:
        run: of CBiGAN as the paper has it.
        cell: whose profile names how many seeds there are (`repeats`).
        split: of the run.
    """
    ledger, number = Ledger(), partial(traps.of_run, metrics.auroc)
    trap = "features of the first convolution"
    first = results.rescored(run, cell, split, feature_layer="first_conv")
    ledger.add(SCORES, trap, "CBiGAN", "auROC", run, number, first, run)
    for trap, changed in CODE.items():
        other = results.run(cell, "CBiGAN", split, snapshots=False, **changed)
        ledger.add(TRAININGS, trap, "CBiGAN", "auROC", run, number, other, run)
    repeats = profiles.load(cell.profile)[cell.paper]["repeats"]
    for more in range(1, len(repeats)):
        other, name = (
            results.run(replace(cell, seed=cell.seed + more), "CBiGAN", split),
            f"CBiGAN ({more})",
        )
        ledger.add(TRAININGS, audit.CONTROL, name, "auROC", run, number, other, run)
    return ledger


def whole(cell: Cell, images: data.ImageSet) -> Ledger:
    """All choices. Runs that the notebooks of single traps have made come from the store."""
    split, pooled = data.one_class(images, cell.seed), data.pooled_balanced(images, cell.seed)
    cbigan, ganomaly = (results.run(cell, name, split) for name in ("CBiGAN", "GANomaly"))
    patchcore, classifier = (
        results.run(cell, name, pooled) for name in ("PatchCore", "Classifier")
    )
    both = {"CBiGAN": cbigan, "GANomaly": ganomaly}
    ledgers = [
        batch_statistics(ganomaly, split, cell.seed),
        one_score_a_batch(patchcore, maps_of_test(patchcore, pooled)),
        best_snapshot(both),
        lambda_by_test(cbigan, ends(cbigan, cell, split)),
        thresholds(both),
        scaling_by_test_range(ganomaly),
        zfn_threshold({"PatchCore": patchcore, "Classifier": classifier}),
        code_against_paper(cbigan, cell, split),
    ]
    return Ledger([entry for ledger in ledgers for entry in ledger.entries])
