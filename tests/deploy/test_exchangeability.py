"""The warning that new images score unlike those that set the threshold."""

import warnings

import numpy as np
import pytest

from adlib.deploy import exchangeability
from adlib.deploy.targets import Target


def warned(calibration, scores, target):
    """Whether a folder with these scores is warned of."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        exchangeability.warn(calibration, scores, target.threshold(calibration))
    return bool(said)


@pytest.mark.parametrize(("text", "known", "new"), [("fpr 0.05", 19, 60), ("fpr 0.1", 60, 30)])
def test_the_level_holds(text, known, new):
    """Would catch warnings of folders like the calibration, also beside abnormal ones."""
    rng, target = np.random.default_rng(0), Target.parse(text)
    folders = 2000
    false = 0
    for _ in range(folders):
        scores = rng.gamma(4, size=known + new)
        abnormal = rng.gamma(4, size=new // 4) + 12
        false += warned(scores[:known], np.concatenate([scores[known:], abnormal]), target)
    # Three standard errors above the level.
    assert false / folders <= exchangeability.LEVEL + 3 * (exchangeability.LEVEL / folders) ** 0.5


def test_another_light_is_warned_of():
    """Would catch a shift below the threshold that nobody is told of."""
    rng, target = np.random.default_rng(0), Target.parse("fpr 0.05")
    calibration = rng.normal(10, 1, 40)
    assert warned(calibration, rng.normal(7, 1, 60), target)
    assert warned(calibration, rng.normal(10, 0.2, 60), target)


def test_a_folder_of_defects_is_no_shift():
    """Would catch a warning of another light where most images are defects."""
    rng, target = np.random.default_rng(0), Target.parse("fpr 0.05")
    calibration = rng.normal(10, 1, 40)
    assert not warned(calibration, rng.normal(30, 1, 60), target)
    assert not warned(calibration, [], target)
    assert not warned(calibration[:19], [9.0], target)
