"""Fashion-MNIST and CIFAR-100: listed from the official files, and fetched by torchvision."""

import hashlib
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torchvision
from data_trees import cifar100_files, mnist_tree
from torchvision.datasets import CIFAR100, FashionMNIST

import adlib.data as data
from adlib.data.classes import CLOTHES
from adlib.data.download import download


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADLIB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def served(tmp_path):
    """A folder and the address at which it is served on loopback."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


# ---- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "category", "place"),
    [
        ("fashion_mnist", "bag", "FashionMNIST/raw"),
        ("cifar100", "tiger", "cifar-100-python"),
        ("cifar100_superclasses", "trees", "cifar-100-python"),
    ],
)
def test_missing_sets_and_slips_of_the_pen(tmp_path, name, category, place):
    """Would catch an error without the page, the folder, the command or the nearest name."""
    with pytest.raises(FileNotFoundError, match=f"adlib data get {name}\\)") as error:
        data.load(name, category, tmp_path)
    assert str(tmp_path.joinpath(*place.split("/"))) in str(error.value)
    assert data.info(name).homepage in str(error.value)
    with pytest.raises(ValueError, match=f"Did you mean .*'{category}'"):
        data.load(name, category + "s", tmp_path)


def test_a_label_without_a_class(tmp_path):
    """Would catch an IndexError, or a class taken from the end, for the label of another set."""
    folder = mnist_tree(tmp_path, (1, 1), name="FashionMNIST")
    labels = folder / "t10k-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes()[:-1] + bytes([10]))
    with pytest.raises(ValueError, match="a test label is 10, but there are 10 classes"):
        data.load("fashion_mnist", "bag", tmp_path)


def test_other_bytes_of_cifar_100_are_not_opened(tmp_path, monkeypatch):
    """Would catch a pickle that is opened although it is not the official one."""
    folder = cifar100_files(tmp_path, monkeypatch)
    (folder / "train").write_bytes((folder / "train").read_bytes() + b"x")
    for name, category in [("cifar100", "tiger"), ("cifar100_superclasses", "trees")]:
        with pytest.raises(ValueError, match="not the official ones") as error:
            data.load(name, category, tmp_path)
        assert str(folder) in str(error.value)


# ---- what is listed ------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
def test_fashion_mnist(tmp_path, packed):
    """Would catch clothes under another's name, packed files not found, or MNIST read instead."""
    mnist_tree(tmp_path, (2, 1))
    mnist_tree(tmp_path, (6, 3), packed, name="FashionMNIST")
    images = data.load("fashion_mnist", "ankle_boot", tmp_path)
    table = images.table
    assert list(table["path"]) == sorted(table["path"])
    labels = images.pixels(channels=1)[:, 0, 0, 0].tolist()
    assert [CLOTHES[label] for label in labels] == table["kind"].tolist()
    assert (table["path"].str.split("/").str[0] == table["part"]).all()
    assert ((table["label"] == 0) == (table["kind"] == "ankle_boot")).all()
    counts = images.counts()
    assert [counts[f"n_{part}_normal"] for part in ("train", "test")] == [6, 3]
    assert [counts[f"n_{part}_abnormal"] for part in ("train", "test")] == [54, 27]
    assert not data.load("fashion_mnist", "all", tmp_path).table["label"].any()


def test_cifar_100_and_its_superclasses(tmp_path, monkeypatch):
    """Would catch fine labels under superclasses' names, or one part's images in the other."""
    cifar100_files(tmp_path, monkeypatch)
    for name, category, n in [("cifar100", "apple", 1), ("cifar100_superclasses", "fish", 5)]:
        images, names = data.load(name, category, tmp_path), data.categories(name)
        red = images.pixels()[:, 0, 0, 0].tolist()
        assert [names[label % (len(names) - 1)] for label in red] == images.table["kind"].tolist()
        counts = images.counts()
        assert [counts[f"n_{part}_normal"] for part in ("train", "test")] == [n, n]
        assert [counts[f"n_{part}_abnormal"] for part in ("train", "test")] == [100 - n, 100 - n]
    fine, coarse = (
        data.load(f"cifar100{ending}", "all", tmp_path) for ending in ("", "_superclasses")
    )
    assert sorted(fine.digests()) == sorted(coarse.digests())


def test_one_class_normal_with_official_parts(tmp_path, monkeypatch):
    """Would catch training images of other classes, test images in training, or a test in which
    any class but the chosen one counts as normal: what one-class tables of these sets mean."""
    mnist_tree(tmp_path, (6, 3), name="FashionMNIST")
    mnist_tree(tmp_path, (6, 3))
    cifar100_files(tmp_path, monkeypatch)
    for name, category, n, others in [
        ("mnist", "4", (6, 3), 27),
        ("fashion_mnist", "coat", (6, 3), 27),
        ("cifar100_superclasses", "trees", (5, 5), 95),
    ]:
        images = data.load(name, category, tmp_path)
        split = data.one_class(images, validation=0)
        assert (len(split.train), len(split.test)) == (n[0], n[1] + others)
        assert set(split.table("train")["kind"]) == {category}
        assert set(split.table("train")["part"]) == {"train"}
        assert set(split.table("test")["part"]) == {"test"}
        is_normal = split.table("test")["kind"] == category
        assert (split.labels_of("test") == np.where(is_normal, 0, 1)).all()


def test_published_counts():
    """Would catch counts that do not add up to the published ones."""
    for name, train, test in [
        ("fashion_mnist", 60_000, 10_000),
        ("cifar100", 50_000, 10_000),
        ("cifar100_superclasses", 50_000, 10_000),
    ]:
        *classes, _ = data.categories(name)
        expected = data.info(name).expected
        assert sum(expected[each]["n_train_normal"] for each in classes) == train
        assert sum(expected[each]["n_test_normal"] for each in classes) == test
        assert all(counts["n_images"] == train + test for counts in expected.values())


# ---- download ------------------------------------------------------------------------------------


def serve_fashion(served, tmp_path, monkeypatch, per_class=(2, 1)):
    """Serve Fashion-MNIST of a few images; torchvision is told address and MD5."""
    folder, url = served
    made = mnist_tree(tmp_path / "made", per_class, packed=True, name="FashionMNIST")
    files = [(path.name, hashlib.md5(path.read_bytes()).hexdigest()) for path in made.iterdir()]
    for path in made.iterdir():
        path.rename(folder / path.name)
    monkeypatch.setattr(FashionMNIST, "mirrors", [url])
    monkeypatch.setattr(FashionMNIST, "resources", files)
    known = data.info("fashion_mnist").expected
    for category in known:
        n = 10 if category == "all" else 1
        counts = {"n_images": 10 * sum(per_class), "n_train_normal": n * per_class[0]}
        monkeypatch.setitem(known, category, counts | {"n_test_normal": n * per_class[1]})


def test_fashion_mnist_is_fetched_once(served, tmp_path, monkeypatch):
    """Would catch a set that does not load after its download, and a second download of it."""
    serve_fashion(served, tmp_path, monkeypatch)
    root = tmp_path / "root"
    assert download("fashion_mnist", "bag", root) == root / "FashionMNIST"
    assert len(data.load("fashion_mnist", "bag", root)) == 30
    assert [path.name for path in root.iterdir() if path.is_dir()] == ["FashionMNIST"]
    monkeypatch.setattr(FashionMNIST, "mirrors", ["http://127.0.0.1:9/"])
    download("fashion_mnist", root=root)
    (root / "FashionMNIST" / "raw" / "train-labels-idx1-ubyte").write_bytes(b"x")
    with pytest.raises(ValueError, match="not a whole IDX file.*Move the folder away"):
        download("fashion_mnist", root=root)


def test_wrong_hash_and_dead_address(served, tmp_path, monkeypatch):
    """Would catch files installed though their bytes are others, or half of a set left behind."""
    serve_fashion(served, tmp_path, monkeypatch)
    path = served[0] / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes() + b"x")
    for _ in range(2):
        with pytest.raises(ConnectionError, match=r"by hand from https://github\.com/zalando"):
            download("fashion_mnist", root=tmp_path / "root")
        assert not [path for path in (tmp_path / "root").iterdir() if path.is_dir()]
        monkeypatch.setattr(FashionMNIST, "mirrors", ["http://127.0.0.1:9/"])


def test_cifar_100_is_fetched(served, tmp_path, monkeypatch):
    """Would catch an archive that is unpacked to another place than the one that is listed."""
    folder, url = served
    made = cifar100_files(tmp_path / "made", monkeypatch)
    with tarfile.open(folder / CIFAR100.filename, "w:gz") as packed:
        packed.add(made, made.name)
    monkeypatch.setattr(CIFAR100, "url", url + CIFAR100.filename)
    md5 = hashlib.md5((folder / CIFAR100.filename).read_bytes()).hexdigest()
    monkeypatch.setattr(CIFAR100, "tgz_md5", md5)
    counts = {"n_images": 200, "n_train_normal": 100, "n_test_normal": 100}
    monkeypatch.setitem(data.info("cifar100").expected, "all", counts)
    root = tmp_path / "root"
    assert download("cifar100", root=root) == root / made.name
    assert len(data.load("cifar100", "tiger", root)) == 200


def test_what_torchvision_fetches_exists():
    """Would catch a misspelt class of torchvision, or a folder that is not the one it fills."""
    fetched = [known for known in map(data.info, data.names()) if known.torchvision]
    assert len(fetched) == 5
    for known in fetched:
        source = getattr(torchvision.datasets, known.torchvision)
        place = getattr(source, "base_folder", f"{known.torchvision}/raw")
        assert known.lies_in[0] == place
        assert known.whole in known.modes
