"""Image packs: the same images, runs and numbers as from the originals; what is refused."""

import json
import lzma
import os
import shutil
from hashlib import sha256

import numpy as np
import pytest
from data_trees import (
    caltech_tree,
    cifar_archive,
    cifar_tree,
    magnetic_tile_tree,
    mnist_tree,
    mvtec_tree,
    noise,
    oct_tree,
    pcam_tree,
    save,
    two_folder_tree,
)

from adlib import data, models
from adlib.data import image_packs, sets
from adlib.data.official import differences
from adlib.models.training import Budget
from adlib.study import identity, packs

SIDE = 8


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADLIB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """The data root of another machine, with packs alone."""
    monkeypatch.setenv("ADLIB_DATA", str(tmp_path / "elsewhere"))
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "elsewhere"


def packed(name, category, root, elsewhere, side=SIDE, channels=3, again=None):
    """The originals, and what is loaded of their pack elsewhere as category `again`."""
    about, images = data.info(name), data.load(name, category, root)
    file = elsewhere / f"{name}-{category}.images.xz"
    image_packs.write(about, images, file, side, channels)
    again = again or category
    return data.load(name, again, root), image_packs.read(about, again, file)


def mixed_tree(folder):
    """`normal/` and `abnormal/` of grey, colour and palette pictures of several sizes."""
    two_folder_tree(folder, kinds=True)
    save(folder / "normal" / "grey.png", noise(1, 12, 9)[0])
    save(folder / "normal" / "of few colours.gif.png", noise(1, 9, 12)[0] // 99)
    return folder


def assert_same(images, again, side=SIDE):
    """All that a run, a table or a report reads of images is equal."""
    assert again.table.equals(images.table)
    for say in ("fingerprint", "digests", "counts", "sides"):
        assert getattr(again, say)() == getattr(images, say)(), say
    for fact in ("title", "mode", "note", "grey", "has_masks", "convert", "n_left_out"):
        assert getattr(again, fact) == getattr(images, fact), fact
    assert differences(again, side) == differences(images, side)
    some = [len(images) - 1, 0]
    for channels in (1, 3):
        assert again.pixels(None, side, channels).equal(images.pixels(None, side, channels))
        assert again.pixels(some, side, channels).equal(images.pixels(some, side, channels))
    if images.has_masks:
        assert again.masks(None, side).equal(images.masks(None, side))
    if images.table["label"].any():
        lists = [data.one_class(one, 3, validation=0).lists() for one in (images, again)]
        assert lists[0] == lists[1]


FILES = {
    "objects with masks": ("mvtec_ad", "screw", lambda root: mvtec_tree(root / "mvtec_ad/screw")),
    "without masks": (
        "mvtec_ad",
        "wood",
        lambda root: mvtec_tree(root / "mvtec_ad/wood", "texture", masks=False, suffix=".jpg"),
    ),
    "grey of several sizes": (
        "magnetic_tile",
        "tile",
        lambda root: magnetic_tile_tree(root / "magnetic_tile"),
    ),
    "two folders, mixed": ("brain_mri", "brain", lambda root: mixed_tree(root / "brain_mri")),
    "official parts": ("oct", "retina", lambda root: oct_tree(root / "oct")),
    "left out": (
        "caltech101",
        "1_inlier_categories",
        lambda root: caltech_tree(root / "caltech101_64", {"Faces_easy": 2, "ant": 3, "ball": 3}),
    ),
    "HDF5": ("pcam", "lymph_node", pcam_tree),
}


@pytest.mark.parametrize("what", FILES)
def test_images_of_a_pack_are_those_of_the_originals(tmp_path, elsewhere, what):
    """Catches a table, digest, mask, note or pixel that changes on its way."""
    name, category, make = FILES[what]
    make(tmp_path / "data")
    images, again = packed(name, category, tmp_path / "data", elsewhere)
    shutil.rmtree(elsewhere.parent / "cache" / "images")
    assert_same(images, again)


@pytest.mark.parametrize("category", ["all", "plane"])
def test_a_folder_of_classes_is_packed_for_all_of_them(tmp_path, elsewhere, category):
    """Catches labels of another class, and the note on a lossy copy that stays behind."""
    cifar_tree(tmp_path / "data" / "cifar10")
    images, again = packed("cifar10", "all", tmp_path / "data", elsewhere, again=category)
    assert "JPEG" in again.note
    assert_same(images, again)


@pytest.mark.parametrize("category", ["all", "3"])
@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_one_array_is_packed_for_all_classes_and_sides(tmp_path, elsewhere, name, category):
    """Catches an array that is bound to a side, or a pack for each of ten classes."""
    make = {"mnist": mnist_tree, "cifar10": cifar_archive}[name]
    make(tmp_path / "data")
    category = "cat" if (name, category) == ("cifar10", "3") else category
    images, again = packed(name, "all", tmp_path / "data", elsewhere, None, again=category)
    for side in (images.sides()[0], 17):
        assert_same(images, again, side)


@pytest.mark.parametrize(
    ("name", "category", "side"),
    [("synthetic", "object", None), ("digits", "3", None), ("ir_mnist", "digits", 16)],
)
def test_sets_of_packages_can_be_packed(elsewhere, name, category, side):
    """Catches masks that are arrays, and mosaics, that change on their way."""
    images, again = packed(name, category, None, elsewhere, side)
    assert_same(images, again, side or 11)


def test_a_run_on_a_pack_is_the_run_on_the_originals(tmp_path, elsewhere):
    """Catches a run that is trained twice because its images came in a pack."""
    mvtec_tree(tmp_path / "data" / "mvtec_ad" / "screw", side=40)
    mnist_tree(tmp_path / "data")
    detector = models.CBiGAN(side=32, width=2)
    for name, pack, category, side in [
        ("mvtec_ad", "screw", "screw", 32),
        ("mnist", "all", "3", None),
    ]:
        about = data.info(name)
        whole = data.load(name, pack, tmp_path / "data")
        image_packs.write(about, whole, about.packs(elsewhere, pack)[0], side)
        keys = [
            packs.digest(
                identity.describe(detector, data.one_class(images, seed=1), Budget(3, 4), 0)
            )
            for images in (data.load(name, category, tmp_path / "data"), data.load(name, category))
        ]
        assert keys[0] == keys[1]


def test_originals_come_before_a_pack(tmp_path, elsewhere):
    """Catches a pack of 8 px that hides the originals beside it."""
    mvtec_tree(tmp_path / "data" / "mvtec_ad" / "screw")
    packed("mvtec_ad", "screw", tmp_path / "data", elsewhere)
    assert isinstance(data.load("mvtec_ad", "screw"), image_packs.PackedSet)
    shutil.copytree(tmp_path / "data" / "mvtec_ad", elsewhere / "mvtec_ad")
    assert data.load("mvtec_ad", "screw").pixels(side=16).shape[-1] == 16


def test_packs_are_at_hand(tmp_path, elsewhere):
    """Catches a study that leaves out what is packed, or does not see that a pack changed."""
    mnist_tree(tmp_path / "data")
    assert not sets.at_hand("mnist", "3") and sets.stamp("mnist", "3") == ""
    packed("mnist", "all", tmp_path / "data", elsewhere, None)
    assert sets.at_hand("mnist", "all") and sets.at_hand("mnist", "3")
    assert not sets.at_hand("mvtec_ad", "screw") and not sets.at_hand("cifar10", "cat")
    before = sets.stamp("mnist", "3")
    os.utime(elsewhere / "mnist-all.images.xz", (0, 0))
    assert "" != before != sets.stamp("mnist", "3")


def test_another_side_is_refused(tmp_path, elsewhere):
    """Catches pixels that are made smaller twice, and so are not those of the originals."""
    mvtec_tree(tmp_path / "data" / "mvtec_ad" / "screw")
    _, again = packed("mvtec_ad", "screw", tmp_path / "data", elsewhere)
    for ask in (again.pixels, again.masks):
        for side in (4, 16, None):
            with pytest.raises(ValueError, match="holds images of 8 px, not of") as error:
                ask(side=side)
            assert "screw.images.xz" in str(error.value) and "--side" in str(error.value)
    split = data.pooled_balanced(again, seed=0)
    with pytest.raises(ValueError, match="Bring the originals"):
        data.with_patches(split, 0.5)


def test_channels_that_were_not_packed_are_refused(tmp_path, elsewhere):
    """Catches grey levels that are called colours."""
    mvtec_tree(tmp_path / "data" / "mvtec_ad" / "screw")
    images, again = packed("mvtec_ad", "screw", tmp_path / "data", elsewhere, channels=1)
    assert again.pixels(None, SIDE, 1).equal(images.pixels(None, SIDE, 1))
    with pytest.raises(ValueError, match=r"screw.*channels=1.*--channels 3"):
        again.pixels(side=SIDE)
    assert not again.grey


def test_equal_images_give_equal_bytes(tmp_path, elsewhere):
    """Catches a time, a folder or an order of files in a pack; also in the pack of a pack."""
    files = []
    for folder in ("a", "b"):
        mvtec_tree(tmp_path / folder / "mvtec_ad" / "screw")
        _, again = packed("mvtec_ad", "screw", tmp_path / folder, elsewhere)
        files.append((elsewhere / "mvtec_ad-screw.images.xz").read_bytes())
    image_packs.write(data.info("mvtec_ad"), again, elsewhere / "again.images.xz", SIDE)
    assert files[0] == files[1] == (elsewhere / "again.images.xz").read_bytes()


@pytest.mark.parametrize(
    ("name", "category", "side", "ending", "said"),
    [
        ("synthetic", "object", None, ".zip", "ends in .images.xz"),
        ("synthetic", "object", 32, ".images.xz", "leave --side and --channels out"),
        ("ir_mnist", "digits", None, ".images.xz", "say with --side"),
        ("mnist", "3", None, ".images.xz", "category 'all' packs the set once"),
        ("folder", "mnist", None, ".images.xz", "copied, not packed"),
    ],
)
def test_what_cannot_be_packed(tmp_path, name, category, side, ending, said):
    """Catches a pack that nobody finds or that says less than the originals."""
    mnist_tree(tmp_path)
    two_folder_tree(tmp_path / "mnist")
    images = data.load(name, category, tmp_path)
    with pytest.raises(ValueError, match=said):
        image_packs.write(data.info(name), images, tmp_path / f"a{ending}", side)
    assert not list(tmp_path.glob("*a*.images.xz"))


def test_a_bad_image_leaves_the_pack_before_it(tmp_path, elsewhere):
    """Catches a pack that is lost when packing again fails."""
    folder = mvtec_tree(tmp_path / "data" / "mvtec_ad" / "screw")
    packed("mvtec_ad", "screw", tmp_path / "data", elsewhere)
    (file,) = elsewhere.iterdir()
    before = file.read_bytes()
    (folder / "train" / "good" / "0003.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"0003\.png"):
        packed("mvtec_ad", "screw", tmp_path / "data", elsewhere)
    assert list(elsewhere.iterdir()) == [file] and file.read_bytes() == before


def test_nothing_but_an_earlier_pack_is_replaced(tmp_path, elsewhere, monkeypatch):
    """Catches a file of the user's that a pack is written over, or that is found after the work."""
    mvtec_tree(tmp_path / "data" / "mvtec_ad" / "screw")
    images = data.load("mvtec_ad", "screw", tmp_path / "data")
    file = elsewhere / "photo.images.xz"
    monkeypatch.setattr(image_packs, "_content", lambda *_: pytest.fail("decoded"))
    for mine in (b"", b"\xff\xd8\xff a photo", lzma.compress(b"thesis")):
        file.write_bytes(mine)
        with pytest.raises(ValueError, match="is not a pack of images of this program's"):
            image_packs.write(data.info("mvtec_ad"), images, file, SIDE)
        assert file.read_bytes() == mine


@pytest.fixture
def pack(tmp_path, elsewhere):
    """A pack whose pixels are in no cache."""
    mvtec_tree(tmp_path / "data" / "mvtec_ad" / "screw")
    images = data.load("mvtec_ad", "screw", tmp_path / "data")
    file = elsewhere / "mvtec_ad-screw.images.xz"
    image_packs.write(data.info("mvtec_ad"), images, file, SIDE)
    return file


def refused(file, said):
    with pytest.raises(ValueError, match=said) as error:
        data.load("mvtec_ad", "screw", file.parent)
    assert str(file) in str(error.value)


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
def test_a_pack_that_was_cut_off_is_refused(pack, share):
    """Catches a copy that broke off and is taken for the whole."""
    content = pack.read_bytes()
    pack.write_bytes(content[: int(share * len(content))])
    refused(pack, "damaged or incomplete")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_pack_with_a_changed_byte_is_refused(pack, share):
    """Catches a byte that changed on its way."""
    content = bytearray(pack.read_bytes())
    content[int(share * len(content))] ^= 8
    pack.write_bytes(content)
    refused(pack, "damaged or incomplete")


@pytest.mark.parametrize("content", [b"", b"hello", lzma.compress(b"adlib\n" * 9), b"\x80\x05N."])
def test_another_file_is_no_pack(pack, content):
    """Catches a file that is only called a pack."""
    pack.write_bytes(content)
    refused(pack, "no pack of images")


def test_a_pack_of_other_images_is_refused(pack):
    """Catches a pack under the name of another."""
    other = pack.with_name("mvtec_ad-bottle.images.xz")
    pack.rename(other)
    with pytest.raises(ValueError, match="holds mvtec_ad/screw, not mvtec_ad/bottle"):
        data.load("mvtec_ad", "bottle", pack.parent)


def changed(file, change, more=b"", honest=True):
    """Write a pack anew, its header changed by `change`, with a right hash of it if `honest`."""
    first, header, *pixels = lzma.decompress(file.read_bytes()).split(b"\n", 2)
    header = json.loads(header)
    change(header)
    line = json.dumps(header).encode()
    if honest:
        first = first[:-64] + sha256(line).hexdigest().encode()
    file.write_bytes(lzma.compress(b"\n".join([first, line, pixels[0] + more])))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda h: h["table"]["label"].__setitem__(0, 2), "label is 0 or 1"),
        (lambda h: h["table"]["part"].__setitem__(0, "tset"), "part is train or test"),
        (lambda h: h["table"]["path"].reverse(), "paths are sorted"),
        (lambda h: h["table"]["path"].pop(), "same length"),
        (lambda h: h["table"]["kind"].__setitem__(0, 1), "texts are expected"),
        (lambda h: h["table"].pop("mask"), "mask"),
        (lambda h: h["digests"].pop(), "15 digests of 16"),
        (lambda h: h["digests"].__setitem__(0, 1), "digest is a text"),
        (lambda h: h.__setitem__("note", ["a"]), "note"),
        (lambda h: h.__setitem__("sizes", [[float("inf"), 1]]), "infinity"),
        (lambda h: h["arrays"]["pixels"].__setitem__(1, "../../../../outside"), "hash says"),
        (lambda h: h.__setitem__("side", 9), "side 9"),
        (lambda h: h["arrays"]["pixels"].__setitem__(1, "0" * 64), "not what their hash says"),
        (lambda h: h["arrays"]["masks"][0].__setitem__(1, 9), "for 16 images"),
        (lambda h: h["arrays"]["pixels"][0].__setitem__(0, -16), "for 16 images"),
        (lambda h: h["arrays"].__setitem__("more", h["arrays"]["masks"]), "perhaps masks"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(pack, change, said):
    """Catches what would break, or silently change, a run long after it was read."""
    changed(pack, change)
    refused(pack, said)


def test_a_changed_header_and_what_follows_the_end_are_refused(pack):
    """Catches labels that were changed by hand, and hidden content."""
    content = pack.read_bytes()
    changed(pack, lambda h: h["table"]["label"].__setitem__(0, 0), honest=False)
    refused(pack, "header is not what its hash says")
    pack.write_bytes(content)
    changed(pack, lambda h: None, b"more")
    refused(pack, "something follows")


def test_a_pack_that_claims_to_be_huge_is_refused(pack):
    """Catches a small file that fills the memory."""
    huge = [16, 10**5, 10**5, 3]

    def claim(header):
        header["arrays"] = {"pixels": [huge, "0" * 64]}

    changed(pack, claim)
    refused(pack, "claims more than its size")
    with lzma.open(pack, "wb", preset=0) as out:
        out.write(b"adlib images 1 " + b"0" * 64 + b"\n")
        for _ in range(40):
            out.write(bytes(2**20))
    refused(pack, "header is not")


def test_pixels_of_a_pack_that_was_replaced_are_not_those_of_the_cache(pack, tmp_path):
    """Catches a cache that gives the pixels of another pack with equal digests."""
    before = data.load("mvtec_ad", "screw", pack.parent)
    pixels = before.pixels(side=SIDE)
    array = np.ascontiguousarray(255 - before.arrays.array)

    def other(header):
        header["arrays"] = {"pixels": [array.shape, sha256(array).hexdigest()]}

    changed(pack, other)
    head = lzma.decompress(pack.read_bytes()).split(b"\n", 2)[:2]
    pack.write_bytes(lzma.compress(b"\n".join([*head, array.tobytes()])))
    again = data.load("mvtec_ad", "screw", pack.parent)
    assert again.digests() == before.digests()
    assert again.pixels(side=SIDE).equal(255 - pixels)


@pytest.mark.parametrize(
    ("name", "said"),
    [("mvtec_ad", "under its terms only"), ("magnetic_tile", "keep the pack to yourself")],
)
def test_terms_say_whether_a_pack_may_be_passed_on(name, said):
    """Catches images that are passed on against their licence."""
    terms = data.info(name).terms
    assert said in terms and data.info(name).licence in terms
