"""Where the defects are: every detector's maps at one size, measured against the masks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import Tensor

from adlib import metrics, plots
from adlib.data import Split
from adlib.metrics.pixel import FPR_BOUNDS
from adlib.study import results
from adlib.study.runs import Run
from adlib.study.tables import in_words, number

MEASURES: dict[str, Callable[[Tensor, np.ndarray], float]] = {
    "pixel_auroc": metrics.pixel_auroc,
    "aupro_0.30": partial(metrics.aupro, fpr_limit=0.30),
    "aupro_0.05": partial(metrics.aupro, fpr_limit=0.05),
    "pixel_average_precision": metrics.pixel_average_precision,
}
BLIND = 0.15  # AUPRO at 0.30 of a map without information
PLACES = ("best", "median", "worst")


@dataclass(frozen=True, eq=False)
class Maps:
    """Anomaly maps of the test images by several methods, at the size of the largest.

    Attributes:
        found: method to run.
        split: with the masks.
        side: of maps and masks, pixels.
        masks: bool `(N, side, side)`.
        of: method to its maps, float `(N, side, side)`.
    """

    found: Mapping[str, Run]
    split: Split
    side: int
    masks: Tensor
    of: dict[str, np.ndarray] = field(repr=False)

    @cached_property
    def measures(self) -> dict[str, Callable[[Tensor, np.ndarray], float]]:
        """Metric to function; AUPIMO where the normal images have pixels enough for its rates."""
        enough = metrics.lowest_fpr(self.masks) <= FPR_BOUNDS[0]
        return MEASURES | ({"aupimo": metrics.aupimo} if enough else {})

    @property
    def share(self) -> float:
        """Of the pixels that are abnormal: the average precision of a map without information."""
        return float(self.masks.flatten().double().mean())

    @cached_property
    def places(self) -> dict[str, dict[str, tuple[int, float]]]:
        """Method -> best, median, worst -> abnormal test image and the AUPRO of it alone."""
        abnormal, found = self.masks.flatten(1).any(1).nonzero()[:, 0].tolist(), {}
        for name, own in self.of.items():
            worth = np.array([metrics.aupro(self.masks[[i]], own[[i]], 0.30) for i in abnormal])
            order = worth.argsort(kind="stable")
            chosen = (order[-1], order[len(order) // 2], order[0])
            found[name] = {
                place: (abnormal[i], float(worth[i]))
                for place, i in zip(PLACES, chosen, strict=True)
            }
        return found

    def rows(self, comparable: str) -> list[dict[str, object]]:
        """Rows for `results.write_rows`: image auROC, every measure, and the images shown."""
        rows, paths = [], self.split.table("test")["path"]
        for name, run in self.found.items():
            image_row = results.metric_row(name, run, "auroc", comparable=comparable)
            rows.append(image_row)
            shared = {key: image_row[key] for key in ("n_normal", "n_abnormal", "protocol", "run")}
            shared |= {"method": name, "comparable": comparable}
            shared["note"] = f"Maps and masks of {self.side} px."
            for metric, measure in self.measures.items():
                rows.append(
                    shared | {"metric": metric, "value": measure(self.masks, self.of[name])}
                )
        for name, run in self.found.items():
            for place, (image, worth) in self.places[name].items():
                row = rows[0] | {"method": name, "metric": f"aupro_0.30_{place}_image"}
                row |= {"value": worth, "low": np.nan, "high": np.nan, "run": run.key}
                rows.append(row | {"note": str(paths.iloc[image])})
        return rows

    def drawn(self) -> Figure:
        """Every method's best, median and worst image with its mask outlined, beside the map.

        A method's colours run from its lowest to its 99.9 % value on all test images.
        """
        query, columns = self.split.pixels("test", self.side), {}
        for name, own in self.of.items():
            coloured = plots.false_colours(own)
            for place, (image, _) in self.places[name].items():
                outlined = plots.outlined(query[[image]], self.masks[[image]])[0]
                columns.setdefault(place, []).append(outlined)
                columns.setdefault(f"{place}: map", []).append(coloured[image])
        labels = [name.replace(" (", "\n(") for name in self.of]
        stacked = {title: torch.stack(pictures) for title, pictures in columns.items()}
        return plots.gallery(stacked, labels)

    def said(self, written: pd.DataFrame) -> list[str]:
        """What the maps find beside what the images tell, in sentences."""
        values = written.pivot(index="method", columns="metric", values="value")
        values = values.loc[list(self.of)]
        blind = values.index[(values["auroc"] > 0.5) & (values["aupro_0.30"] <= BLIND)].tolist()
        precision = values["pixel_average_precision"]
        sentences = [
            "Better than chance on images and no better than a map without information on "
            f"defects: {', '.join(blind) or 'no method'}.",
            f"{self.share:.2%} of the pixels are abnormal, which is the average precision of a map "
            f"without information; the best, {precision.idxmax()}, reaches "
            f"{number(precision.max())}.",
            self._strict(values),
        ]
        if len(values) > 2:
            agreed = values["auroc"].corr(values["aupro_0.30"], method="kendall")
            sentences.append(
                "Order of the methods by image auROC and by AUPRO at 0.30: Kendall's tau "
                f"{number(agreed)}."
            )
        return sentences

    def _strict(self, values: pd.DataFrame) -> str:
        """What is found where hardly a false alarm is allowed, or why that is not known."""
        if "aupimo" not in self.measures:
            return (
                "AUPIMO is not given: with these normal images the lowest false-positive rate "
                f"above 0 is {metrics.lowest_fpr(self.masks):.1g}, and its thresholds begin at "
                f"{FPR_BOUNDS[0]:g}."
            )
        best = values["aupimo"].idxmax()
        by_image = metrics.aupimo_of_images(self.masks, self.of[best])
        return (
            "At thresholds that flag 1 in 100,000 to 1 in 10,000 normal pixels the best map, "
            f"{best}, covers {values['aupimo'][best]:.1%} of a defective image's defects on "
            f"average, and nothing on {(by_image == 0).mean():.0%} of these images."
        )


def maps(found: Mapping[str, Run], split: Split) -> Maps:
    """Maps of the test images by every run, brought to the side of the largest.

    Args:
        found: method to run; each is of `split`.
        split: of images with masks.
    """
    detectors = {name: run.detector() for name, run in found.items()}
    side, own = max(detector.settings.side for detector in detectors.values()), {}
    for name, detector in detectors.items():
        pixels = split.pixels("test", detector.settings.side, detector.settings.channels)
        made = torch.from_numpy(detector.anomaly_map(pixels)).unsqueeze(1)
        own[name] = F.interpolate(made, (side, side), mode="bilinear")[:, 0].numpy()
    return Maps(found, split, side, split.masks("test", side), own)


def titled(written: pd.DataFrame, measures: list[str]) -> pd.DataFrame:
    """Rows of these measures and of the image auROC with `title`, for `plots.dots`."""
    rows = written[written["metric"].isin(["auroc", *measures])]
    titles = rows["metric"].map(in_words).replace({"auROC": "image auROC"})
    return rows.assign(title=titles.str.replace(r"^(AUPRO) ", r"\1 at ", regex=True))
