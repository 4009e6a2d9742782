"""Pictures of telling cases: the best, the median and the worst, of either label."""

import torch
from matplotlib.figure import Figure

from adlib import data, plots
from adlib.models import Detector
from adlib.study import runs


def telling(run: runs.Run) -> dict[str, str]:
    """Test images that tell most: what each is -> its path.

    The clearest find, the median abnormal image and the worst miss by score; the worst false alarm
    and the median normal image.
    """
    tested = run.scores.query("split == 'test'").sort_values("score", kind="stable")
    abnormal, normal = (tested[tested["label"] == label]["path"].tolist() for label in (1, 0))
    return {
        "clearest find": abnormal[-1],
        "median abnormal": abnormal[len(abnormal) // 2],
        "worst miss": abnormal[0],
        "worst false alarm": normal[-1],
        "median normal": normal[len(normal) // 2],
    }


def examples(images: data.ImageSet, run: runs.Run) -> Figure:
    """Draw the telling test images of a run, one a column, with their scores.

    Below each stand its reconstruction and their difference where the detector makes one, else its
    anomaly map where it has one. A run that came without weights is not trained again for it: then
    the images stand alone.
    """
    picked, scores = telling(run), run.scores.set_index("path")["score"]
    index = images.table.reset_index().set_index("path")["index"]
    settings = run.record["description"]["settings"]
    places = [int(index[path]) for path in picked.values()]
    pixels = images.pixels(places, settings["side"], settings.get("channels", 3))
    lines = {"image": pixels}
    if run.has_weights:
        detector = run.detector()
        if detector.reconstructs:
            lines["reconstruction"] = again = detector.reconstruct(pixels)
            lines["difference"] = plots.false_colours(plots.difference(pixels, again))
        elif type(detector).map_inputs is not Detector.map_inputs:
            lines["anomaly map"] = plots.false_colours(detector.anomaly_map(pixels))
    rows = lines.values()
    columns = {
        f"{words}\n{scores[path]:.3g}": torch.stack([row[i].expand(3, -1, -1) for row in rows])
        for i, (words, path) in enumerate(picked.items())
    }
    return plots.gallery(columns, list(lines))
