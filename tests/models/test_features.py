"""PaDiM and PatchCore against their formulas, written out."""

import copy

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.spatial import distance
from torch.nn import functional as F

from adlib import data, models
from adlib.models import features
from adlib.networks import augment, neighbours

TINY = {"side": 32, "channels": 1, "backbone": "efficientnet_lite0"}


@pytest.fixture(scope="module")
def split():
    """Generated objects: 58 training and 48 test images."""
    return data.one_class(data.load("synthetic", "object"), seed=0)


def fitted(name, split, seed=0, **settings):
    detector = models.build(name, **TINY | settings)
    history = detector.fit(split, seed=seed, device="cpu")
    return detector, history.to_dict("records")


def maps_of(detector, split, part):
    with torch.no_grad():
        return detector.maps(augment.to_float(split.pixels(part, 32, 1)))


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("PaDiM", {"patch": 16}, "patch=16: the network sees 16 px"),
        ("PatchCore", {"rotation": (0, 45)}, r"rotation=\(0, 45\): no network is trained"),
        ("PatchCore", {"side": 40}, "side=40: .*allowed are multiples of 16 from 32"),
        (
            "PaDiM",
            {"backbone": "inception_v3"},
            "backbone='inception_v3': allowed are 'auto', 'eff",
        ),
        ("PaDiM", {"features": -1}, "features=-1"),
        ("PaDiM", {"ridge": 0.0}, "ridge=0.0"),
        ("PatchCore", {"coreset": 0.0}, "coreset=0.0: allowed is more than 0 and at most 1"),
        ("PatchCore", {"coreset": 1.5}, "coreset=1.5"),
        ("PatchCore", {"sample": -1}, "sample=-1: allowed is at least 0"),
        ("PatchCore", {"neighbours": 0}, "neighbours=0: allowed is at least 1"),
    ],
)
def test_bad_settings_are_named(name, settings, message):
    """Would catch a setting that means nothing here and is taken in silence."""
    with pytest.raises(ValueError, match=message):
        models.build(name, **TINY | settings)


def test_the_settings_hold_the_backbone_that_is_used(monkeypatch):
    """Would catch runs of two backbones under one description."""
    asked = []

    def resolve(name, preferred):
        asked.append((name, preferred))
        return "efficientnet_lite0"

    monkeypatch.setattr("adlib.networks.backbones.resolve", resolve)
    for name in ("PaDiM", "PatchCore"):
        assert models.build(name).settings.backbone == "efficientnet_lite0"
    assert asked == [("auto", "resnet18"), ("auto", "wide_resnet50_2")]


def test_maps_are_enlarged_and_smoothed(split):
    """Would catch another width of the Gaussian, a shifted grid and other borders."""
    detector = models.build("PaDiM", **TINY | {"side": 64})
    small = torch.rand(2, 8, 8)
    large = F.interpolate(small[:, None], (64, 64), mode="bilinear")[:, 0].numpy()
    wanted = [ndimage.gaussian_filter(m, 1.0, mode="mirror", truncate=4.0) for m in large]
    np.testing.assert_allclose(detector.enlarged(small).numpy(), wanted, rtol=1e-4, atol=1e-6)


# ---- PaDiM ---------------------------------------------------------------------------------


def test_padim_needs_two_images_and_enough_features(split):
    """Would catch a covariance of one image, and a draw of more features than there are."""
    with pytest.raises(ValueError, match="features=177: efficientnet_lite0 has 176 in all stages"):
        fitted("PaDiM", split, features=177)
    one = data.Split(**{**vars(split), "train": split.train[:1]})
    with pytest.raises(ValueError, match="at least 2 training images, not 1"):
        fitted("PaDiM", one)


@pytest.mark.parametrize(("wanted", "count"), [(12, 12), (0, 176)])
def test_padim_draws_features_by_the_seed(split, wanted, count):
    """Would catch features drawn twice, or always the same."""
    detector, (row,) = fitted("PaDiM", split, features=wanted)
    chosen = detector.networks["gaussians"].chosen
    assert len(set(chosen.tolist())) == row["features"] == count and chosen.max() < 176
    other = fitted("PaDiM", split, seed=1, features=wanted)[0].networks["gaussians"].chosen
    assert torch.equal(chosen, other) == (wanted == 0)


def test_padim_works_where_a_stage_gives_no_feature(split):
    """Would catch a draw that fails by chance: two features cannot be of all three stages."""
    assert fitted("PaDiM", split, features=2)[0].networks["gaussians"].mean.shape[1] == 2


@pytest.mark.parametrize("batch", [7, 64])
def test_padim_is_the_mahalanobis_distance(split, monkeypatch, batch):
    """Would catch sums that lose digits or depend on batches, and features of another place."""
    monkeypatch.setattr(features, "BATCH", batch)
    detector, _ = fitted("PaDiM", split, features=30)
    chosen = detector.networks["gaussians"].chosen

    def at_places(part):
        stages = [F.interpolate(m, (8, 8)) for m in maps_of(detector, split, part)]
        return torch.cat(stages, 1)[:, chosen].flatten(2).double().numpy()

    train, test = at_places("train"), at_places("test")[:4]
    wanted = np.zeros((4, 64))
    for place in range(64):
        covariance = np.cov(train[:, :, place], rowvar=False) + 0.01 * np.eye(30)
        inverse, mean = np.linalg.inv(covariance), train[:, :, place].mean(0)
        for k in range(4):
            wanted[k, place] = distance.mahalanobis(test[k, :, place], mean, inverse)
    wanted = detector.enlarged(torch.tensor(wanted, dtype=torch.float32).view(4, 8, 8))
    pixels = split.pixels("test", 32, 1)[:4]
    np.testing.assert_allclose(detector.anomaly_map(pixels), wanted, rtol=2e-4)
    np.testing.assert_allclose(detector.score(pixels), wanted.flatten(1).amax(1), rtol=2e-4)


# ---- PatchCore -----------------------------------------------------------------------------


def patches_of(detector, split, part):
    """Features of all patches, written out: `(n, 16, 152)`."""
    _, fine, coarse = maps_of(detector, split, part)
    fine, coarse = (F.avg_pool2d(m, 3, 1, 1, count_include_pad=True) for m in (fine, coarse))
    coarse = F.interpolate(coarse, (4, 4), mode="bilinear")
    return torch.cat([fine, coarse], 1).flatten(2).permute(0, 2, 1).double()


def test_patchcore_keeps_a_share_of_the_training_patches(split):
    """Would catch a memory of something else than training patches, or of another size."""
    detector, (row,) = fitted("PatchCore", split, coreset=0.05)
    bank, patches = detector.networks["memory"].bank, patches_of(detector, split, "train")
    available, kept = 16 * len(split.train), round(0.05 * 16 * len(split.train))
    assert row["patches"] == available and row["bank"] == kept and bank.shape == (kept, 152)
    nearest = torch.cdist(bank.double(), patches.flatten(0, 1)).amin(1)
    assert nearest.max() < 1e-4 and row["radius"] > 0


def bank_of(detector):
    return detector.networks["memory"].bank


def test_patchcore_chooses_among_a_sample(split, monkeypatch):
    """Would catch a bank without bound, and a sample of some images or that batches change."""
    detector, (row,) = fitted("PatchCore", split, sample=200, coreset=1.0)
    patches = patches_of(detector, split, "train")
    assert row["patches"] == patches[..., 0].numel() and row["sampled"] == row["bank"] == 200
    nearest = torch.cdist(bank_of(detector).double(), patches.flatten(0, 1))
    assert nearest.amin(1).max() < 1e-4
    drawn = nearest.argmin(1).unique()
    assert len(drawn) == 200 and len((drawn // 16).unique()) > 0.8 * len(split.train)
    other, _ = fitted("PatchCore", split, seed=1, sample=200, coreset=1.0)
    assert not torch.equal(bank_of(other), bank_of(detector))
    monkeypatch.setattr(features, "BATCH", 7)
    again, _ = fitted("PatchCore", split, sample=200, coreset=1.0)
    far = torch.cdist(bank_of(again).double(), bank_of(detector).double()).amin(1)
    assert far.max() < 1e-3


def test_patchcore_takes_all_patches_where_the_sample_allows(split):
    """Would catch the paper's form out of reach, and draws where there is nothing to draw."""
    everything = bank_of(fitted("PatchCore", split, sample=0)[0])
    assert torch.equal(bank_of(fitted("PatchCore", split)[0]), everything)


@pytest.mark.parametrize("name", ["PaDiM", "PatchCore"])
def test_pixels_are_read_in_pieces(split, name, monkeypatch):
    """Would catch a training that holds all images, and pieces lost or in another order."""
    images = split.pixels("test", 32, 1)[:6]
    scores = fitted(name, split)[0].score(images)
    read = []
    original = data.ImageSet.pixels

    def spy(self, index, *arguments):
        read.append(len(index))
        return original(self, index, *arguments)

    monkeypatch.setattr(data.ImageSet, "pixels", spy)
    monkeypatch.setattr("adlib.data.split.CHUNK", 16 * 32 * 32)
    again = fitted(name, split)[0].score(images)
    assert max(read) == 16 and sum(read) == len(split.train)
    np.testing.assert_allclose(again, scores, rtol=1e-5)


def test_a_long_training_tells_its_time(split, monkeypatch):
    """Would catch hours without a word, a word at every batch, and one about seconds."""
    monkeypatch.setattr(features, "BATCH", 4)
    fitted("PatchCore", split)  # pytest turns a warning into an error
    monkeypatch.setattr(models.PatchCore, "seconds_after", lambda self, images: 7200.0)
    with pytest.warns(UserWarning, match=r"58 images takes about 120\.\d more minutes") as told:
        fitted("PatchCore", split)
    assert len(told) == 1


def test_patchcore_learns_further_images(split, tmp_path):
    """Would catch further images forgotten, old ones lost, a bank above its bound, a file."""
    few = data.Split(**{**vars(split), "train": split.train[:20]})
    more = data.Split(**{**vars(split), "train": split.test[split.labels_of("test") == 1][:20]})
    settings = {"coreset": 0.25, "sample": 400}
    detector, _ = fitted("PatchCore", few, **settings)
    assert len(bank_of(detector)) == 80
    old, new = (part.pixels("train", 32, 1) for part in (few, more))
    before = detector.score(new).mean()
    (row,) = detector.extend(more, seed=3, device="cpu").to_dict("records")
    assert row["images"] == 20 and row["patches"] == 320 and row["bank"] == 100
    assert len(bank_of(detector)) == 100  # 80 + 80, but at most a quarter of 400
    assert detector.score(new).mean() < 0.9 * before
    assert detector.score(old).mean() < 0.8 * before
    detector.extend(few, seed=4, device="cpu")
    assert len(bank_of(detector)) == 100
    loaded = models.load(detector.save(tmp_path / "detector.safetensors"))
    np.testing.assert_array_equal(loaded.score(new), detector.score(new))


def test_patchcore_knows_its_training_images(split):
    """Would catch patches that are lost when the memory is not thinned."""
    detector, _ = fitted("PatchCore", split, coreset=1.0)
    assert detector.anomaly_map(split.pixels("train", 32, 1)).max() < 1e-3


def test_patchcore_prepares_its_search_once_for_a_bank(split, tmp_path, monkeypatch):
    """Would catch an index made for every batch, kept for an older bank, saved or copied."""
    detector, _ = fitted("PatchCore", split, coreset=0.05)
    built = []

    class Spy(neighbours.Index):
        def __init__(self, bank):
            built.append(bank)
            super().__init__(bank)

    monkeypatch.setattr(neighbours, "Index", Spy)
    images = split.pixels("test", 32, 1)[:6]
    scores = detector.score(images, batch=2)
    assert len(built) == 1
    copied = copy.deepcopy(detector)
    assert copied._index is None and detector._index is not None
    loaded = models.load(detector.save(tmp_path / "detector.safetensors"))
    for other in (copied, loaded):
        np.testing.assert_array_equal(other.score(images), scores)
    assert len(built) == 3
    detector.score(images)
    assert len(built) == 3
    detector.fit(data.Split(**{**vars(split), "train": split.train[:5]}), device="cpu")
    assert (detector.score(images) > scores).any() and len(built) == 4
    detector.load_weights(tmp_path / "detector.safetensors")
    np.testing.assert_array_equal(detector.score(images), scores)


@pytest.mark.parametrize("around", [1, 9, 1000])
def test_patchcore_scores_by_equation_7(split, around):
    """Would catch weights of another patch or entry, and more neighbours than there are entries."""
    detector, _ = fitted("PatchCore", split, coreset=0.05, neighbours=around)
    bank = detector.networks["memory"].bank.double()
    patches = patches_of(detector, split, "test")[:6]
    wanted, maps = [], []
    for image in patches:
        between = torch.cdist(image, bank)
        far = between.amin(1)
        maps.append(far.view(4, 4))
        p, entry = far.argmax(), between[far.argmax()].argmin()
        near = (bank - bank[entry]).norm(dim=1).argsort()[: min(around, len(bank))]
        share = torch.exp(far[p]) / torch.exp(between[p, near]).sum()
        wanted.append(far[p] * (1 - share if around > 1 else 1))
    pixels = split.pixels("test", 32, 1)[:6]
    np.testing.assert_allclose(detector.score(pixels), torch.stack(wanted), rtol=1e-4)
    enlarged = detector.enlarged(torch.stack(maps).float())
    np.testing.assert_allclose(detector.anomaly_map(pixels), enlarged, rtol=1e-4)
