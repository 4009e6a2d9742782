"""Pictures of any shape as square images, and maps back on the pictures."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from data_trees import save
from detectors import of_brightness
from PIL import Image
from safetensors.torch import load_file, save_file

from adlib import deploy, models
from adlib.data import cache, decode
from adlib.deploy import decisions, export, gallery, image_folders, inference
from adlib.deploy.framed_set import FramedSet
from adlib.deploy.framing import GREY, Framing, Picture

SIZES = [(64, 64), (100, 50), (37, 91), (1000, 10), (1, 1), (640, 480), (121, 120), (63, 400)]
QUICK = {"method": "PatchCore", "side": 32, "target": "fpr 0.2"}


def noise(width, height, seed=0):
    """A grey picture whose pixels all differ from their neighbours."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8))


def smooth(width, height):
    """A colour picture without edges, on which resizing loses little."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return Image.fromarray((np.dstack([x, y, x * y]) * 255).astype(np.uint8))


@pytest.mark.parametrize("tiles", [1, 2, 3, 5])
@pytest.mark.parametrize("size", SIZES)
def test_tiles_cover_the_picture_and_join_to_it(tiles, size):
    """Would catch a strip that no tile shows, a tile in the wrong place, or a visible seam."""
    framing, picture = Framing(64, 1, tiles), noise(*size)
    cut = framing.cut(picture)
    assert cut.shape == (framing.count(size), 1, 64, 64) and cut.dtype == np.uint8
    scaled = framing._scaled(size)
    again = framing.joined(cut[:, 0], size, scaled)
    wanted = np.asarray(picture.resize(scaled, Image.Resampling.BILINEAR))
    np.testing.assert_allclose(again, wanted, atol=1e-3)
    assert framing.joined(cut[:, 0], size).shape == size[::-1]


@pytest.mark.parametrize("tiles", [1, 2, 3, 5])
@pytest.mark.parametrize("size", SIZES)
def test_tiles_are_few_and_overlap(tiles, size):
    """Would catch twice the work, a defect that a seam cuts in two, and pixels made up."""
    framing = Framing(64, 1, tiles)
    width, height = framing._scaled(size)
    assert max(width, height) == min(64 + (tiles - 1) * 48, max(64, *size))
    assert abs(width * size[1] - height * size[0]) <= max(size)  # the aspect ratio, but rounding
    for length in (width, height):
        starts = framing._starts(max(length, 64))
        assert len(starts) == max(1, math.ceil((length - 16) / 48))
        assert max(np.diff(starts), default=0) <= 48
    assert framing.count(size) <= tiles**2
    assert max(framing._canvas(size)) >= 64


def test_a_square_picture_is_resized_as_in_the_study():
    """Would catch another filter for the user's images than for the images of the study."""
    for picture in (noise(50, 50), smooth(80, 80)):
        for channels in (1, 3):
            cut = Framing(64, channels).cut(picture)
            assert (cut[0] == decode.resized(picture, 64, channels)).all()


def test_grey_fills_a_letterbox_alone():
    """Would catch a picture that is cut off or stretched, and padding taken for the picture."""
    framing, white = Framing(32, 3), Image.new("RGB", (90, 40), "white")
    (tile,) = framing.cut(white)
    rows, columns = framing.window(white.size)
    assert (rows.stop - rows.start, columns.stop - columns.start) == (14, 32)
    assert (tile[:, rows, columns] == 255).all()
    assert (tile == GREY).sum() == 3 * (32 - 14) * 32


def test_a_map_comes_back_where_it_was():
    """Would catch a map that is mirrored, shifted or stretched on the original's pixels."""
    picture = np.zeros((300, 700), np.uint8)
    picture[200:240, 500:560] = 255
    for tiles in (1, 2, 4):
        framing = Framing(128, 1, tiles)
        cut = framing.cut(Image.fromarray(picture))
        found = framing.joined(cut[:, 0].astype(np.float32), (700, 300)) > 127
        rows, columns = np.flatnonzero(found.any(1)), np.flatnonzero(found.any(0))
        corners = [rows[0], rows[-1] + 1, columns[0], columns[-1] + 1]
        assert np.abs(np.subtract(corners, [200, 240, 500, 560])).max() <= 6 / tiles


@pytest.mark.parametrize("tiles", [0, -1, 1.5])
def test_bad_numbers_of_tiles_are_refused(tiles):
    """Would catch a number that only fails in the depths of a division."""
    with pytest.raises(ValueError, match=rf"tiles={tiles}: a whole number of at least 1"):
        Framing(32, 3, tiles)


def test_a_score_is_the_highest_of_the_picture_s_own_tiles(monkeypatch):
    """Would catch tiles that count for the neighbour, and a mean that hides a small defect."""
    detector = models.AutoEncoder(side=32, width=2)
    of_brightness(detector)
    tiles = [np.full((n, 3, 32, 32), 10 * n, np.uint8) for n in (1, 4, 2)]
    tiles[1][2, 0, 5, 5] = 200
    pictures = [Picture(str(len(each)), (9, 9), each) for each in tiles]
    scores, maps = inference.judge(detector, pictures, 16)
    assert scores.tolist() == [10, 200, 20]
    assert [len(each) for each in maps] == [1, 4, 2]
    assert maps[1].max() == 200 and maps[2].max() == 20


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Wide pictures of two heights: 20 plain ones, and to judge two plain ones and a spot."""
    root, rng = tmp_path_factory.mktemp("wide"), np.random.default_rng(0)
    for i in range(23):
        height = (50, 40)[i % 2]
        bands = np.repeat(rng.uniform(-9, 9, 10), 10)[:, None]  # no near-copies of each other
        picture = 120 + rng.normal(0, 4, (height, 100, 1)) + bands
        if i == 22:
            picture[10:22, 60:72] = 0
        picture = np.repeat(picture.clip(0, 255).astype(np.uint8), 3, 2)
        save(root / ("normal" if i < 20 else "new") / f"{i:02d}.png", picture)
    return root


def test_a_set_of_pictures_gives_their_tiles(folders):
    """Would catch a tile of another picture, or tiles of another framing out of the cache."""
    images = image_folders.image_set(folders / "normal")
    for tiles in (2, 1, 3):
        framing, framed = Framing(32, 3, tiles), FramedSet.of(images, tiles)
        opened = [Image.open(folders / "normal" / name) for name in images.table.path]
        wanted = [framing.cut(picture) for picture in opened]
        np.testing.assert_array_equal(
            framed.pixels([3, 0], 32), np.concatenate([wanted[3], wanted[0]])
        )
        found = [picture for some in framed.pictures(None, framing) for picture in some]
        assert [picture.name for picture in found] == list(images.table.path)
        assert [picture.size for picture in found] == [picture.size for picture in opened]
        for picture, tiles_of_it in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(picture.tiles, tiles_of_it)
    assert len(framed) == len(images) and framed.fingerprint() == images.fingerprint()


def test_a_picture_is_decoded_for_its_tiles_once(folders, monkeypatch):
    """Would catch sixteen decodings of a large picture of sixteen tiles."""
    monkeypatch.setattr(cache, "WORKERS", 1)
    opened, read = [], decode.open_image
    monkeypatch.setattr(decode, "open_image", lambda *a: opened.append(a) or read(*a))
    images = image_folders.image_set(folders / "normal")
    FramedSet.of(images, 4).pixels(side=16)
    assert len(opened) == len(images)


@pytest.mark.parametrize("tiles", [1, 3])
def test_pictures_keep_their_shape_from_training_to_gallery(folders, tmp_path, tiles):
    """Would catch a threshold set on tiles, or pictures judged by another framing than learnt."""
    made = deploy.train(folders / "normal", tiles=tiles, **QUICK)
    made = decisions.load(made.save(tmp_path / "m.safetensors"))
    assert made.framing == Framing(32, 3, tiles)
    assert made.facts["held_out"]["normal"] == made.facts["calibration"] == 4
    found = deploy.score_folder(made, folders / "new", tmp_path / "d.csv", tmp_path / "g.png", 2)
    table = pd.read_csv(tmp_path / "d.csv")
    assert table.score.idxmax() == 2 and table.decision[2] == "abnormal"
    score, picture = found.shown[0]
    _, (maps,) = inference.judge(made.detector, [picture], 16)
    plain, heat = gallery.view(made.framing, picture, maps, 512)
    assert plain.shape == (50, 100, 3) and heat.shape == (50, 100)
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert abs(row - 16) < 14 and abs(column - 66) < 14
    small, _ = gallery.view(made.framing, picture, maps, 20)
    assert small.shape == (10, 20, 3)


def test_few_tiles_are_held_at_a_time(folders, tmp_path, monkeypatch):
    """Would catch a batch of pictures of many tiles that fills the memory."""
    held = []

    def counted(detector, pictures, *rest):
        held.append(sum(len(picture.tiles) for picture in pictures))
        return np.zeros(len(pictures)), []

    made = decisions.calibrate(models.AutoEncoder(side=32, width=2), "fpr 0.2", range(9), tiles=3)
    monkeypatch.setattr(inference, "judge", lambda d, p, b, maps: counted(d, p))
    deploy.score_folder(made, folders / "normal", tmp_path / "d.csv", batch=18)
    assert len(held) == 10 and 6 < max(held) <= 18


def test_padding_is_no_contrast(folders, tmp_path):
    """Would catch a covered lens that goes unsaid because grey was laid beside the picture."""
    Image.new("RGB", (100, 40), "black").save(tmp_path / "covered.png")
    made = decisions.calibrate(models.AutoEncoder(side=32, width=2), "fpr 0.2", range(9))
    with pytest.warns(UserWarning) as said:
        deploy.score_folder(made, tmp_path / "covered.png", tmp_path / "d.csv")
    assert "1 of 1 image(s) are of one value" in str(said[0].message)
    assert "lie between 0 and 0 " in str(said[1].message)


def test_a_detector_of_squeezed_pictures_is_refused(tmp_path):
    """Would catch an old threshold, set on squeezed pictures, held against letterboxed ones."""
    made = decisions.calibrate(models.AutoEncoder(side=32, width=2), "fpr 0.2", range(9))
    file = made.save(tmp_path / "m.safetensors")
    with decisions.safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()
    facts = json.loads(metadata[decisions.KEY])
    del facts["decoding"]["tiles"]
    save_file(load_file(file), file, metadata | {decisions.KEY: json.dumps(facts)})
    with pytest.raises(ValueError, match=r"m\.safetensors: .*it lacks 'tiles'.* Train it again"):
        decisions.load(file)


def test_an_export_says_how_pictures_are_framed(tmp_path, monkeypatch):
    """Would catch a program that squeezes pictures for a detector that saw them letterboxed."""
    told = {}
    monkeypatch.setattr(export, "find_spec", lambda _: True)
    monkeypatch.setattr(export, "_write", lambda d, i, about, path: told.update(about))
    monkeypatch.setattr(export, "_compared", lambda *_: {})
    detector = models.AutoEncoder(side=32, width=2)
    for tiles, words in [(1, "in the middle of a square of grey 128"), (3, "the highest of its")]:
        scorer = decisions.calibrate(detector, "fpr 0.2", range(9), tiles=tiles)
        export.to_onnx(scorer, tmp_path / f"{tiles}.onnx")
        about = json.loads(told["decoding"])
        assert about["tiles"] == tiles and words in about["in_words"]
    export.to_onnx(detector, tmp_path / "m.onnx")
    assert json.loads(told["decoding"])["in_words"].endswith("to side x side")
