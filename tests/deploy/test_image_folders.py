"""What counts as an image in a folder, and files that no decoder can make sense of."""

import io
import os
import random
import struct

import numpy as np
import pytest
import torch
from PIL import Image

from adlib.data import layouts
from adlib.data.images import ImageSet
from adlib.deploy import image_folders
from adlib.deploy.framing import Framing

FUZZED = int(os.environ.get("ADLIB_FUZZ", 300))  # mutated files; 2000 takes a minute
FORMATS = {
    "png": ["L", "P", "RGB", "RGBA"], "jpg": ["L", "RGB", "CMYK"], "tif": ["L", "P", "RGB", "1"],
    "bmp": ["L", "P", "RGB"], "webp": ["RGB", "RGBA"], "gif": ["L", "P"],
}  # fmt: skip


def encoded(mode, suffix, **options):
    """A picture of noise as the bytes of a file."""
    noise = np.random.default_rng(0).integers(0, 256, (24, 20, 3), np.uint8)
    file = io.BytesIO()
    name = {"jpg": "jpeg", "tif": "tiff"}.get(suffix, suffix)
    Image.fromarray(noise).convert(mode).save(file, name, **options)
    return file.getvalue()


def exif(rational):
    """EXIF of a picture on its side, with a resolution of a signed fraction."""
    entries = struct.pack("<HHIIHHII", 0x0112, 3, 1, 6, 0x011A, 10, 1, 38)
    return b"Exif\0\0II*\0\x08\0\0\0\x02\0" + entries + bytes(4) + struct.pack("<ii", *rational)


def two_pages(tag, new_tag, value):
    """A TIFF whose second page has another value for `tag`, or another tag in its place."""
    file = bytearray(encoded("RGB", "tif", save_all=True, append_images=[Image.new("RGB", (9, 9))]))
    first = struct.unpack_from("<I", file, 4)[0]
    second = struct.unpack_from(
        "<I", file, first + 2 + 12 * struct.unpack_from("<H", file, first)[0]
    )[0]
    for i in range(struct.unpack_from("<H", file, second)[0]):
        place = second + 2 + 12 * i
        if struct.unpack_from("<H", file, place)[0] == tag:
            struct.pack_into("<H", file, place, new_tag)
            struct.pack_into("<H", file, place + 8, value)
    return bytes(file)


BROKEN = {
    "fraction.jpg": lambda: encoded("RGB", "jpg", exif=exif((-1, 0))),
    "unknown mode.tif": lambda: two_pages(262, 262, 9999),
    "no width.tif": lambda: two_pages(256, 60000, 9),
}


def mutated(content, rng):
    """Some bytes changed, most of them near the start; at times cut or with bytes put between."""
    content = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 4, 8])):
        place = rng.randrange(min(len(content), rng.choice([64, 400, 10**9])))
        content[place] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
    place, what = rng.randrange(len(content)), rng.random()
    if what < 0.1:
        del content[place:]
    elif what > 0.9:
        content[place:place] = rng.randbytes(8)
    return bytes(content)


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """Mutated files of all kinds, and some that are known for errors of odd types."""
    folder, rng = tmp_path_factory.mktemp("damaged"), random.Random(0)
    kinds = [(suffix, mode) for suffix, modes in FORMATS.items() for mode in modes]
    whole = [(s, encoded(m, s, **({} if s in ("bmp", "gif") else {"exif": exif((72, 1))})))
             for s, m in kinds] + [("tif", two_pages(0, 0, 0))]  # fmt: skip
    for i in range(FUZZED):
        suffix, content = whole[i % len(whole)]
        name = f"{i:05d}.{suffix}".replace("gif", "png")  # whatever a name says, content decides
        (folder / name).write_bytes(mutated(content, rng))
    for name, make in BROKEN.items():
        (folder / name).write_bytes(make())
    return folder


@pytest.mark.filterwarnings("ignore")
def test_whatever_a_file_raises_is_its_own_error(damaged):
    """Would catch an exception of one file's decoding that ends the run over all others."""
    names = image_folders.listed(damaged).images
    errors, read = {}, 0
    for _, images, wrong in image_folders.batches(damaged, names, 64, Framing(16, 3)):
        errors |= wrong
        read += len(images)
    assert read + len(errors) == len(names) == FUZZED + len(BROKEN)
    assert read > FUZZED / 10 and len(errors) > FUZZED / 10
    assert all(str(damaged / name) in error for name, error in errors.items())
    assert set(BROKEN) <= set(errors)


def test_a_broken_training_image_is_named(damaged):
    """Would catch a training that ends with an error from the depths of a decoder."""
    table = layouts.table([("fraction.jpg", 0, "good", "", "")])
    images = ImageSet("folder", "broken", damaged, table, "object", convert=True)
    with pytest.raises(ValueError, match=r"fraction\.jpg: damaged image"):
        images.pixels(side=16)


@pytest.fixture
def odd(tmp_path):
    """A folder of two images and of much that is none."""
    image_folders.write(tmp_path / "in", torch.zeros(2, 3, 8, 8, dtype=torch.uint8))
    return tmp_path / "in"


def test_what_file_managers_and_servers_leave_is_no_image(odd):
    """Would catch thumbnails that are learnt or judged."""
    for place in ("@eaDir", ".thumbnails", "__MACOSX", "#recycle", "below/@eaDir"):
        (odd / place).mkdir(parents=True)
        (odd / place / "t.png").write_bytes((odd / "0000.png").read_bytes())
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store"):
        (odd / name).touch()
    found = image_folders.listed(odd)
    assert (found.images, found.others, found.closed) == (["0000.png", "0001.png"], {}, {})
    assert len(image_folders.image_set(odd)) == 2


def test_pipes_and_linked_folders_are_named(odd, tmp_path):
    """Would catch a run that waits for a pipe for ever, and a message on a name that is right."""
    os.mkfifo(odd / "pipe.png")
    assert image_folders.listed(odd).others == {"pipe.png": "a pipe or a device"}
    with pytest.raises(ValueError, match=r"pipe\.png: a pipe or a device"):
        image_folders.image_set(odd)
    (odd / "pipe.png").unlink()
    (odd / "linked").symlink_to(tmp_path)
    assert list(image_folders.listed(odd).others) == ["linked/"]
    with pytest.raises(ValueError, match="linked: a linked folder, which is not entered"):
        image_folders.image_set(odd)


def test_a_closed_folder_stops_a_training_alone(odd, monkeypatch):
    """Would catch a folder whose images are left out of a training without a word."""
    (odd / "closed").mkdir()
    scandir = os.scandir

    def guarded(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    found = image_folders.listed(odd)
    assert found.images == ["0000.png", "0001.png"] and list(found.closed) == ["closed/"]
    with pytest.raises(ValueError, match=r"closed: the folder cannot be read \(Permission denied"):
        image_folders.image_set(odd)


def test_names_that_are_no_text_are_learnt_and_told_apart(odd):
    """Would catch a training that ends because a digest is made of a name."""
    (odd / os.fsdecode(b"\xff.png")).write_bytes((odd / "0000.png").read_bytes())
    images = image_folders.image_set(odd)
    assert images.pixels(side=8).shape == (3, 3, 8, 8)
    assert len(images.digests()) == 3 and images.fingerprint()
