"""Thresholds with a promise, the one file that keeps them, and folders that are judged by it."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from data_trees import save
from PIL import Image
from safetensors.torch import save_file

from adlib import deploy, models
from adlib.data import decode, synthetic
from adlib.deploy import decisions, holding_out, image_folders, outputs
from adlib.deploy.decisions import Target
from adlib.metrics import thresholds

QUICK = {"method": "PatchCore", "side": 32, "backbone": "efficientnet_lite0"}
OTHER = {"CBiGAN": {"side": 32, "width": 2}, "Classifier": {"side": 32, "width": 4}}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Generated images: 48 normal, 12 abnormal, and some of both (with folders below) to judge."""
    root = tmp_path_factory.mktemp("own")
    images, _, rows = synthetic.generate("object", 40, 48, 4, 20)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    label = np.array([row[1] for row in rows])
    part = np.array([row[3] for row in rows])
    image_folders.write(root / "normal", pixels[part == "train"])
    image_folders.write(root / "abnormal", pixels[label == 1][:12])
    image_folders.write(root / "new" / "good", pixels[(part == "test") & (label == 0)])
    image_folders.write(root / "new" / "bad", pixels[label == 1][12:])
    return root


@pytest.fixture(scope="module")
def trained(folders):
    """A detector with a threshold, and its file."""
    made = deploy.train(folders / "normal", folders / "abnormal", **QUICK)
    return made, made.save(folders / "detector.safetensors")


def decided(path):
    """The CSV as it stands, empty fields as empty text."""
    return pd.read_csv(path, keep_default_na=False)


# ---- promises ------------------------------------------------------------------------------


def test_targets_are_read_and_written():
    """Would catch a target that the file gives back as another one."""
    for text in ("fpr 0.05", "miss 0.1", "miss 0.1 confidence 0.9", "fpr 0.00005"):
        assert str(Target.parse(text)) == text
        assert Target.parse(Target.parse(text)) == Target.parse(text)
    assert Target.parse("  miss .1 ") == Target("miss", 0.1)


@pytest.mark.parametrize(
    "text",
    ["", "fpr", "fpr 5%", "fpr 0", "miss 1", "recall 0.9", "miss 0.1 confidence 1", "fpr -1"],
)
def test_bad_targets_name_the_allowed_ones(text):
    """Would catch a target that is taken for another one, or an error without a way out."""
    with pytest.raises(ValueError, match=r"'fpr 0\.05'.*'miss 0\.1'.*confidence"):
        Target.parse(text)


def test_thresholds_are_those_of_the_rules():
    """Would catch false alarms promised by the rate on the calibration images, which is too low."""
    scores = np.random.default_rng(0).normal(size=57)
    miss = Target.parse("miss 0.1")
    ranked = np.sort(scores)
    # k = 5 of the lowest, or fewer to be sure; one score is between the threshold and the rule's.
    rule = thresholds.conformal_threshold(scores, 0.1)
    assert ranked[3] < miss.threshold(scores) < rule == ranked[4]
    sure, rule = (
        Target.parse("miss 0.1 confidence 0.9").threshold(scores),
        thresholds.high_probability_threshold(scores, 0.1, 1 - 0.9),
    )
    assert sure < rule < miss.threshold(scores) and not ((scores >= sure) & (scores < rule)).any()
    # One of 58 comes above the k-th highest of 57 with probability k / 58: k = 2 for 0.05.
    assert ranked[-2] < Target.parse("fpr 0.05").threshold(scores) < ranked[-1]
    assert (scores >= Target.parse("fpr 0.05").threshold(scores)).mean() == 1 / 57


@pytest.mark.parametrize("text", ["fpr 0.05", "miss 0.1", "miss 0.1 confidence 0.9"])
def test_rounding_decides_nothing(text):
    """Would catch a threshold on a score, which another batch, device or export moves across."""
    rng, target = np.random.default_rng(0), Target.parse(text)
    for n in (22, 60, 5000):  # of 5000, neighbours lie closer than rounding may carry them
        scores = rng.gamma(9, size=n).astype(np.float32).astype(np.float64)
        decided = scores >= target.threshold(scores)
        moved = scores + rng.uniform(-1, 1, (20, n)) * thresholds.CARRIED * scores.max()
        assert ((moved >= target.threshold(scores)) == decided).all()
        assert decided.mean() <= 0.05 if target.label == 0 else decided.mean() >= 0.9
    equal = np.full(30, 2.5)
    assert (equal >= target.threshold(equal)).all() == (target.label == 1)


def test_scores_that_set_no_threshold_are_numbers_too():
    """Would catch abnormal images that count as found because their score is no number."""
    detector = models.AutoEncoder(side=32, width=2)
    with pytest.raises(ValueError, match="scores of abnormal images: 1 of 2 are NaN"):
        decisions.calibrate(detector, "fpr 0.2", range(9), [1.0, np.nan])


@pytest.mark.parametrize("text", ["fpr 0.2", "miss 0.2"])
def test_promises_hold_on_average(text):
    """Would catch a rule that is off by one image or turned the wrong way round."""
    target, rng = Target.parse(text), np.random.default_rng(1)
    scores = rng.normal(size=(4000, 10))
    errors = []
    for calibration, new in zip(scores[:, :9], scores[:, 9], strict=True):
        abnormal = new >= target.threshold(calibration)
        errors.append(abnormal == (target.kind == "fpr"))
    assert 0.17 < np.mean(errors) < 0.22  # exactly 0.2 for nine images


@pytest.mark.parametrize(
    ("text", "needed", "way_out"),
    [
        ("fpr 0.05", 19, "'fpr 0.1'"),
        ("miss 0.05", 19, "'miss 0.1'"),
        ("miss 0.1 confidence 0.9", 22, "'miss 0.226 confidence 0.9'"),
    ],
)
def test_too_few_images_are_refused_with_what_they_can_promise(text, needed, way_out):
    """Would catch a line that calls everything abnormal, and a way out that is refused as well."""
    target = Target.parse(text)
    assert target.images_needed() == needed
    with pytest.raises(ValueError, match=f"needs {needed} .*normal images.* 9 can be") as error:
        target.threshold(np.arange(9.0))
    assert way_out in str(error.value)
    assert math.isfinite(Target.parse(way_out.strip("'")).threshold(np.arange(9.0)))
    assert math.isfinite(target.threshold(np.arange(float(needed))))
    with pytest.raises(ValueError, match=r"0 can be held out .* Add \w+ images\.$"):
        target.check(0)


# ---- training ------------------------------------------------------------------------------


def test_training_keeps_calibration_images_apart(folders):
    """Would catch a threshold set on images that the detector has learnt."""
    images = image_folders.image_set(folders / "normal", folders / "abnormal")
    for text, learns, counts in [
        ("fpr 0.05", False, (29, 0, 19, 12)),
        ("miss 0.1", False, (38, 0, 10, 12)),
        ("miss 0.2", True, (38, 6, 10, 6)),
    ]:
        split = holding_out.hold_out(images, Target.parse(text), learns, 0)
        held = split.labels_of("validation")
        assert (len(split.train), len(split.abnormal), *np.bincount(held)) == counts
        rows = np.concatenate([split.train, split.abnormal, split.validation])
        assert len(set(rows)) == len(rows)
        again = holding_out.hold_out(images, Target.parse(text), learns, 0)
        assert (again.validation == split.validation).all()


def test_copies_count_once(folders, tmp_path):
    """Would catch an image in the calibration whose copy was learnt."""
    for i, source in enumerate(sorted((folders / "normal").iterdir())[:12]):
        for name in (f"{i}.png", f"{i}_copy.png"):
            (tmp_path / name).write_bytes(source.read_bytes())
    images = image_folders.image_set(tmp_path)
    split = holding_out.hold_out(images, Target.parse("fpr 0.2"), False, 0)
    assert len(split.train) + len(split.validation) == 12
    with pytest.raises(ValueError, match=r"6 can be held out .* 12 of 24 files .* byte copies\."):
        deploy.train(tmp_path, **QUICK)
    for path in tmp_path.iterdir():
        path.write_bytes(source.read_bytes())
    with pytest.raises(ValueError, match=r"1 normal image\(s\).*23 of 24 files .* byte copies"):
        deploy.train(tmp_path, **QUICK)


def test_what_cannot_be_trained_on_is_named(folders, tmp_path):
    """Would catch a whole data set, a stray file or a bad image that is learnt as normal."""
    image_folders.write(
        tmp_path / "set" / "test" / "bad", torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    )
    with pytest.raises(ValueError, match="holds test/, so it is a data set"):
        deploy.train(tmp_path / "set", **QUICK)
    with pytest.raises(ValueError, match="need folders apart"):
        deploy.train(folders, folders / "abnormal", **QUICK)
    with pytest.raises(ValueError, match="'miss 0.1' needs abnormal images"):
        deploy.train(folders / "normal", target="miss 0.1")
    with pytest.raises(ValueError, match="Classifier learns from abnormal images"):
        deploy.train(folders / "normal", method="Classifier")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        deploy.train(tmp_path / "nothing", **QUICK)
    stray = tmp_path / "stray"
    image_folders.write(stray, torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
    (stray / "notes.txt").write_text("x")
    with pytest.raises(ValueError, match="notes.txt: not an image by its name"):
        deploy.train(stray, **QUICK)


@pytest.mark.parametrize("method", OTHER)
def test_methods_that_train_in_steps(folders, method):
    """Would catch a method that does not get its labelled abnormal images or its steps."""
    made = deploy.train(
        *(folders / "normal", folders / "abnormal", method, "miss 0.2"),
        steps=3, batch=4, device="cpu", **OTHER[method],
    )  # fmt: skip
    held, learnt = made.facts["held_out"], made.facts["trained_on"]
    assert (held["abnormal"], learnt["abnormal"]) == {"CBiGAN": (12, 0), "Classifier": (6, 6)}[
        method
    ]
    assert held["misses"] <= 0.2 * held["abnormal"]


# ---- the file ------------------------------------------------------------------------------


def test_one_file_keeps_detector_and_threshold(trained, folders):
    """Would catch a threshold that changes in the file, or a file that is no detector's."""
    made, path = trained
    again, plain = decisions.load(path), models.load(path)
    assert (again.threshold, again.target, again.facts) == (made.threshold, made.target, made.facts)
    assert str(again) == str(made)
    assert {"commit", "versions", "created", "decoding", "seed"} <= set(again.facts)
    images = image_folders.image_set(folders / "normal").pixels(slice(9), 32)
    scores = made.detector.score(images)
    assert (again.detector.score(images) == scores).all()
    assert (plain.score(images) == scores).all()
    assert (again.decide(images) == (scores >= made.threshold)).all()
    with pytest.raises(FileNotFoundError, match="no such file"):
        decisions.load(folders / "nothing.safetensors")


def test_other_files_are_refused(trained, tmp_path, monkeypatch):
    """Would catch a threshold that is applied to what it was not set for."""
    made, path = trained
    with pytest.raises(ValueError, match="no detector with a threshold"):
        decisions.load(made.detector.save(tmp_path / "plain.safetensors"))
    save_file({"a": torch.zeros(1)}, tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match="no detector with a threshold"):
        decisions.load(tmp_path / "weights.safetensors")
    (tmp_path / "text").write_text("no weights at all")
    with pytest.raises(ValueError, match="not a saved detector"):
        decisions.load(tmp_path / "text")
    monkeypatch.setattr(decode, "RULE", "another")
    with pytest.raises(ValueError, match="decoded by the rule"):
        decisions.load(path)


# ---- judging a folder ----------------------------------------------------------------------


def test_a_folder_is_judged_with_all_below_it(trained, folders, tmp_path):
    """Would catch decisions that are not those of the scores, or images that are left out."""
    made, _ = trained
    found = deploy.score_folder(made, folders / "new", tmp_path / "d.csv", tmp_path / "g.png", 5)
    table = decided(tmp_path / "d.csv")
    assert tuple(table.columns) == outputs.COLUMNS
    assert list(table.path) == sorted(
        path.relative_to(folders / "new").as_posix() for path in (folders / "new").rglob("*.png")
    )
    assert (table.threshold == made.threshold).all()
    assert ((table.score >= made.threshold) == (table.decision == "abnormal")).all()
    assert (found.normal, found.abnormal) == tuple(
        (table.decision == d).sum() for d in ("normal", "abnormal")
    )
    assert found.abnormal >= 6  # of eight with a defect
    whole = image_folders.image_set(folders / "new").pixels(side=32)
    np.testing.assert_allclose(table.score, made.detector.score(whole), rtol=1e-5)
    assert [score for score, _ in found.shown] == sorted(table.score, reverse=True)
    with Image.open(tmp_path / "g.png") as picture:
        assert len(picture.convert("RGB").getcolors(10**6)) > 100


def test_any_kind_of_picture(trained, tmp_path):
    """Would catch a grey, tiny, odd or single image that cannot be judged."""
    made, _ = trained
    colour = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)
    odd = tmp_path / "odd"
    save(odd / "colour.png", colour)
    save(odd / "grey.bmp", colour[..., 0])
    save(odd / "one.PNG", colour[:1, :1])
    Image.fromarray(colour).convert("P").save(odd / "palette.png")
    Image.fromarray(colour).convert("CMYK").save(odd / "cmyk.tif")
    Image.fromarray(colour).convert("RGBA").save(odd / "alpha.webp", lossless=True)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(colour).save(odd / "turned.jpg", exif=turned)
    found = deploy.score_folder(made, odd, tmp_path / "d.csv")
    table = decided(tmp_path / "d.csv")
    assert len(table) == 7
    assert found.unreadable == 0
    assert (table.error == "").all()
    one = deploy.score_folder(made, odd / "grey.bmp", tmp_path / "one.csv")
    assert one.normal + one.abnormal == 1
    alone = decided(tmp_path / "one.csv")
    assert alone.path.tolist() == ["grey.bmp"]
    assert alone.score[0] == pytest.approx(table.score[table.path == "grey.bmp"].item(), rel=1e-5)


def test_bad_files_get_a_row_and_stop_nothing(trained, folders, tmp_path):
    """Would catch a damaged image that passes for a normal one, or one that stops the others."""
    made, _ = trained
    mixed = tmp_path / "mixed"
    good = (folders / "new" / "good" / "0000.png").read_bytes()
    for name, content in {
        "a.png": good,
        "b.png": good[:100],
        "c.jpg": b"",
        "d$_$.png": good,
    }.items():
        mixed.mkdir(exist_ok=True)
        (mixed / name).write_bytes(content)
    (mixed / "notes.txt").write_text("x")
    (mixed / ".hidden.png").write_bytes(b"")
    found = deploy.score_folder(made, mixed, tmp_path / "d.csv", tmp_path / "g.png", 2)
    table = decided(tmp_path / "d.csv")
    assert table.path.tolist() == ["a.png", "b.png", "c.jpg", "d$_$.png"]
    bad = table[table.path.isin(["b.png", "c.jpg"])]
    assert (bad.decision == "").all()
    assert (bad.score == "").all()
    assert all(name in error for name, error in zip(bad.path, bad.error, strict=True))
    assert (found.unreadable, found.passed_over) == (2, ["notes.txt"])
    assert "2 without a decision" in str(found)
    assert "notes.txt" in str(found)


def test_a_score_that_is_no_number_is_no_decision(trained, folders, tmp_path, monkeypatch):
    """Would catch a broken detector that calls everything normal, for NaN is below no threshold."""
    made, _ = trained
    monkeypatch.setattr(made.detector, "score", lambda x, batch: np.full(len(x), np.nan))
    found = deploy.score_folder(made, folders / "new", tmp_path / "d.csv", tmp_path / "g.png")
    table = decided(tmp_path / "d.csv")
    assert (found.normal, found.unreadable) == (0, len(table))
    assert table.error.str.contains("nan").all()
    assert not (tmp_path / "g.png").exists()


def test_a_kill_loses_no_row(trained, folders, tmp_path, monkeypatch):
    """Would catch rows that are kept in memory, and half a table under the name of a whole one."""
    made, _ = trained
    score, calls = made.detector.score, []

    def killed(images, batch):
        calls.append(len(images))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return score(images, batch)

    monkeypatch.setattr(made.detector, "score", killed)
    with pytest.raises(KeyboardInterrupt):
        deploy.score_folder(made, folders / "new", tmp_path / "d.csv", batch=4)
    assert not (tmp_path / "d.csv").exists()
    (part,) = tmp_path.glob("d.csv.*.part")
    assert len(decided(part)) == 8
    monkeypatch.undo()
    deploy.score_folder(made, folders / "new", tmp_path / "d.csv", batch=4)
    assert len(decided(tmp_path / "d.csv")) == 12
    assert [*tmp_path.glob("d.csv.*.part")] == [part]


def test_few_images_are_held_at_a_time(trained, folders, tmp_path, monkeypatch):
    """Would catch a folder that is decoded as a whole before it is scored."""
    made, _ = trained
    read, ahead, score = [], [], made.detector.score
    framed = image_folders.framed
    monkeypatch.setattr(image_folders, "framed", lambda *a: read.append(1) or framed(*a))

    def counted(images, batch):
        ahead.append(len(read))
        return score(images, batch)

    monkeypatch.setattr(made.detector, "score", counted)
    deploy.score_folder(made, folders / "new", tmp_path / "d.csv", batch=2)
    assert len(ahead) == 6
    assert all(n <= 2 * (i + 2) for i, n in enumerate(ahead))


def test_unusable_places_are_refused(trained, folders, tmp_path):
    """Would catch an empty folder that gives an empty table, and a picture judged the next time."""
    made, _ = trained
    with pytest.raises(ValueError, match="no image in it by name"):
        deploy.score_folder(made, tmp_path)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        deploy.score_folder(made, tmp_path / "nothing")
    with pytest.raises(ValueError, match="batch=0"):
        deploy.score_folder(made, folders / "new", tmp_path / "d.csv", batch=0)
    assert not (tmp_path / "d.csv").exists()


def test_an_old_gallery_does_not_pass_for_a_new_one(trained, folders, tmp_path):
    """Would catch last week's picture beside a table in which no image could be read."""
    gallery = tmp_path / "gallery.png"
    deploy.score_folder(trained[0], folders / "new" / "bad", tmp_path / "o.csv", gallery)
    assert gallery.exists()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "broken.png").write_bytes(b"no picture")
    deploy.score_folder(trained[0], tmp_path / "in", tmp_path / "o.csv", gallery)
    assert not gallery.exists()


def test_pages_are_one_rule_for_both_commands(trained, folders, tmp_path):
    """Would catch a phone's pictures learnt and then refused, and a stack judged by its first."""
    phone, stack = tmp_path / "phone", tmp_path / "stack"
    for i, source in enumerate(sorted((folders / "normal").iterdir())[:20]):
        picture = Image.open(source)
        preview = picture.resize((20, 20))
        for folder in (phone, stack):
            folder.mkdir(exist_ok=True)
        more = {"save_all": True, "append_images": [preview]}
        picture.save(phone / f"{i}.jpg", format="MPO", **more)
        Image.new("L", (32, 32)).save(
            stack / f"{i}.tif", save_all=True, append_images=[picture.convert("L")]
        )
    made = deploy.train(phone, target="fpr 0.2", **QUICK)
    assert deploy.score_folder(made, phone, tmp_path / "o.csv").unreadable == 0
    with pytest.raises(ValueError, match=r"0.tif holds 2 full pages.*page=1 to page=2"):
        deploy.train(stack, target="fpr 0.2", **QUICK)
    refused = deploy.score_folder(trained[0], stack, tmp_path / "o.csv")
    assert refused.unreadable == 20
    made = deploy.train(stack, target="fpr 0.2", page=2, **QUICK)
    made = decisions.load(made.save(tmp_path / "stack.safetensors"))
    found = deploy.score_folder(made, stack, tmp_path / "o.csv")
    assert found.unreadable == 0
    assert found.normal >= 15


def test_twelve_bits_in_sixteen(trained, folders, tmp_path):
    """Would catch 17 grey levels learnt without a word, and a range that scoring forgets."""
    deep = tmp_path / "deep"
    deep.mkdir()
    for source in sorted((folders / "normal").iterdir())[:20]:
        values = np.asarray(Image.open(source).convert("L")).astype(np.uint16) * 16
        Image.fromarray(values).save(deep / source.name)
    with pytest.raises(ValueError, match=r"0000.png.*16-bit.*Give range=.*\(0, 4095\)"):
        deploy.train(deep, target="fpr 0.2", **QUICK)
    assert deploy.score_folder(trained[0], deep, tmp_path / "o.csv").unreadable == 20
    made = deploy.train(deep, target="fpr 0.2", range=(0, 4095), **QUICK)
    made = decisions.load(made.save(tmp_path / "deep.safetensors"))
    assert made.convert.range == (0, 4095)
    assert deploy.score_folder(made, deep, tmp_path / "o.csv").unreadable == 0
    with pytest.warns(UserWarning, match=r"20 image\(s\) lie between \d and 1\d of 0 to 255"):
        deploy.train(deep, target="fpr 0.2", range=(0, 65535), **QUICK)


def test_a_picture_of_one_value_is_said(trained, folders, tmp_path):
    """Would catch black pictures of a covered lens that are judged as if they showed a part."""
    image_folders.write(tmp_path / "in", torch.zeros(3, 3, 8, 8, dtype=torch.uint8))
    with pytest.warns(UserWarning) as said:
        deploy.score_folder(trained[0], tmp_path / "in", tmp_path / "o.csv")
    assert "3 of 3 image(s) are of one value, for example 0000.png" in str(said[0].message)


def test_metadata_is_json(trained):
    """Would catch facts that another program cannot read."""
    made, _ = trained
    assert json.loads(json.dumps(made.facts, allow_nan=False)) == made.facts
