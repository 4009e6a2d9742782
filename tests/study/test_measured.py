"""Seconds of a training: from runs at hand and from the benches."""

import json

import pandas as pd
import pytest

from adlib.host import paths
from adlib.study import measured
from adlib.study.measured import Measurement, Measurements

SETTINGS = {"side": 32, "channels": 1}


def facts(batch=8, precision="float32", **settings):
    return measured.facts_of(measured.whole("GANomaly", SETTINGS | settings), batch, precision)


def row(started, train_s, **more):
    """A finished run as `runs.csv` has it."""
    settings = json.dumps(measured.whole("GANomaly", SETTINGS))
    common = {"status": "done", "detector": "GANomaly", "settings": settings, "steps": 10}
    where = {"device": "cpu", "processor": "one", "gpu": "", "scores_of": ""}
    how = {"batch": 8, "precision": "float32", "score_s": 0.0, "train_s": train_s}
    return common | where | how | {"started": f"2026-01-01T00:00:{started:02}+00:00"} | more


def test_the_nearest_settings_serve():
    """Would catch the seconds of another size, of another device or of several processes."""
    known = [
        Measurement("GANomaly", facts(width=8), "cpu", 10.0, 1.0),
        Measurement("GANomaly", facts(width=8, weight_latent=2.0), "cpu", 20.0),
        Measurement("GANomaly", facts(width=64), "cpu", 30.0),
        Measurement("GANomaly", facts(width=16), "cuda", 1.0),
        Measurement("GANomaly", facts(width=16), "cpu", 99.0, processes=4),
    ]
    found = Measurements(known)
    assert found.seconds("GANomaly", facts(width=8), 100, "cpu") == pytest.approx(2)
    other = facts(width=8, weight_latent=2.0)
    assert found.seconds("GANomaly", other, 100, "cpu") == pytest.approx(2)
    assert found.seconds("GANomaly", facts(width=40), 100, "cpu") == pytest.approx(3)
    assert found.seconds("CBiGAN", facts(), 100, "cpu") is None
    found.add(pd.DataFrame([row(0, 5.0)]))
    assert found.seconds("GANomaly", facts(), 10, "cpu") == pytest.approx(5)


def test_runs_side_by_side_are_told_by_their_times():
    """Would catch the time of one of several runs that passes for that of a run alone."""
    rows = [row(0, 10.0), row(5, 10.0), row(40, 10.0), row(0, 10.0, processor="another")]
    found = Measurements()
    found.add(pd.DataFrame(rows))
    assert [m.ms_per_step for m in found.known] == pytest.approx([667, 667, 1000, 1000], abs=1)


def test_what_several_processes_get_through():
    """Would catch a GPU that is taken for as many GPUs as there are processes."""
    alone = Measurement("GANomaly", facts(), "cuda", 10.0)
    found = Measurements([alone, Measurement("GANomaly", facts(), "cuda", 20.0, processes=10)])
    assert [found.speedup(n, "cuda") for n in (1, 5.5, 10, 20)] == [1, 3, 5, 5]
    assert found.speedup(10, "cpu") == 1


def test_the_bench_at_hand_is_read(monkeypatch):
    """Would catch a bench file that no longer fits the detectors' settings."""
    monkeypatch.delenv("ADLIB_RESULTS")
    found = measured.read(paths.results_root(), paths.runs_root())
    assert found.speedup(10, "cuda") == pytest.approx(5.6, abs=0.1)
    wanted = measured.whole("GANomaly", SETTINGS)
    seconds = found.seconds("GANomaly", measured.facts_of(wanted, 64, "bfloat16"), 11_400, "cuda")
    assert 130 < seconds < 145


@pytest.mark.parametrize("text", ["{", '[{"detector": "GANomaly"}]', '[{"settings": 3}]'])
def test_a_bench_file_that_is_none_is_named(tmp_path, text):
    """Would catch an error that leaves its reader to search for the file."""
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "x.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"x\.json: no list of measurements"):
        measured.read(tmp_path, tmp_path)
