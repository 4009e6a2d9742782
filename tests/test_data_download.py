"""Download against a server on loopback: good, damaged and hostile archives, and second calls."""

import hashlib
import io
import tarfile
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from data_trees import mvtec_tree

import adlib.data as data
from adlib.data import download as downloads
from adlib.data.catalogue import Archive

COUNTS = (60, 12, 30)  # toothbrush, the smallest category of MVTec AD


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder and counts what is asked for."""

    def do_GET(self):
        self.server.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADLIB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def server(tmp_path):
    """A server on loopback: `.folder` is served, `.asked` lists the requests."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    server.folder, server.asked = folder, []
    server.url = f"http://127.0.0.1:{server.server_port}/"
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def toothbrush(tmp_path_factory):
    """A whole category as MVTec AD has it, generated."""
    return mvtec_tree(tmp_path_factory.mktemp("tree") / "toothbrush", counts=COUNTS, side=8)


def pack(server, *folders, extra=()):
    """Write an archive of the folders and of extra members; gives address and SHA-256."""
    path = server.folder / "archive.tar.xz"
    with tarfile.open(path, "w:xz", preset=0) as tar:
        license = tarfile.TarInfo("license.txt")
        tar.addfile(license, io.BytesIO())
        for folder in folders:
            tar.add(folder, folder.name)
        for member in extra:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    return server.url + path.name, hashlib.sha256(path.read_bytes()).hexdigest()


def files(root):
    """What is installed under a data root."""
    return [path for path in (root / "mvtec_ad").glob("*") if not path.name.startswith(".")]


def test_what_is_not_downloaded():
    """Catches a silent return for sets that come otherwise, and for slips of the pen."""
    with pytest.raises(ValueError, match=r"github\.com/abin24"):
        downloads.download("magnetic_tile")
    with pytest.raises(ValueError, match="elpv-dataset"):
        downloads.download("elpv")
    with pytest.raises(ValueError, match="'screw'"):
        downloads.download("mvtec_ad", "screws")
    with pytest.raises(ValueError, match="Unknown data set"):
        downloads.download("mvtec")


def test_good_archive_and_second_call(server, toothbrush, tmp_path):
    """Catches a category that does not load after its download, and a second download of it."""
    url, sha256 = pack(server, toothbrush)
    broken = server.url + "nowhere.tar.xz"
    get = partial(
        downloads.download, "mvtec_ad", "toothbrush", tmp_path, [broken, url], sha256=sha256
    )
    assert get() == tmp_path / "mvtec_ad"
    images = data.load("mvtec_ad", "toothbrush", tmp_path)
    counts = images.counts()
    assert (counts["n_train_normal"], counts["n_test_normal"], counts["n_test_abnormal"]) == COUNTS
    assert images.has_masks
    assert images.check()["sizes"] == {"8 x 8": 102}
    assert server.asked == ["/nowhere.tar.xz", "/archive.tar.xz"]
    get()
    assert len(server.asked) == 2  # the category is there
    assert [path.name for path in files(tmp_path)] == ["toothbrush"]
    for path in sorted((tmp_path / "mvtec_ad" / "toothbrush").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (tmp_path / "mvtec_ad" / "toothbrush").rmdir()
    get()
    assert "/archive.tar.xz" not in server.asked[2:]  # the archive is there
    assert data.load("mvtec_ad", "toothbrush", tmp_path).counts() == counts


def test_wrong_hash_and_dead_address(server, toothbrush, tmp_path):
    """Catches an archive that is unpacked though its bytes are not the expected ones."""
    url, _ = pack(server, toothbrush)
    with pytest.raises(ConnectionError) as error:
        downloads.download("mvtec_ad", "toothbrush", tmp_path, [url, server.url + "no"], "0" * 64)
    for part in [url, "hash", "404", "by hand", "www.mvtec.com", str(tmp_path / "mvtec_ad")]:
        assert part in str(error.value)
    assert not files(tmp_path)


def test_truncated_archive(server, toothbrush, tmp_path):
    """Catches half an archive installed as a category, or its remains left behind."""
    url, _ = pack(server, toothbrush)
    path = server.folder / "archive.tar.xz"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(ValueError, match="truncated"):
        downloads.download("mvtec_ad", "toothbrush", tmp_path, [url], sha256)
    assert not files(tmp_path)
    assert not (tmp_path / "mvtec_ad" / ".unpacking").exists()


def member(name, kind=tarfile.REGTYPE, target=""):
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, target
    made.size = 1 if kind == tarfile.REGTYPE else 0
    return made


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (member("../outside.png"), "leads out"),
        (member("toothbrush/../../outside.png"), "leads out"),
        (member("/outside.png"), "leads out"),
        (member("C:\\outside.png"), "leads out"),
        (member("toothbrush/link", tarfile.SYMTYPE, "/etc/passwd"), "a link"),
        (member("toothbrush/link", tarfile.LNKTYPE, "license.txt"), "a link"),
        (member("toothbrush/pipe", tarfile.FIFOTYPE), "a link or a device"),
        (member("toothbrush/disk", tarfile.BLKTYPE), "a link or a device"),
    ],
)
def test_hostile_archive(server, toothbrush, tmp_path, bad, message):
    """Catches a file written outside the data folder, a link or a device from an archive."""
    url, sha256 = pack(server, toothbrush, extra=[bad])
    with pytest.raises(ValueError, match=message) as error:
        downloads.download("mvtec_ad", "toothbrush", tmp_path / "root", [url], sha256)
    assert repr(bad.name) in str(error.value)
    assert not files(tmp_path / "root")
    assert not list(tmp_path.rglob("outside.png"))


def test_missing_category_and_wrong_counts(server, toothbrush, tmp_path):
    """Catches an archive of other contents, or an old half-unpacked folder, taken for whole."""
    url, sha256 = pack(server, toothbrush)
    with pytest.raises(ValueError, match="does not hold the category 'screw'"):
        downloads.download("mvtec_ad", "screw", tmp_path, [url], sha256)
    mvtec_tree(tmp_path / "few" / "toothbrush", counts=(60, 12, 29), side=8)
    url, sha256 = pack(server, tmp_path / "few" / "toothbrush")
    with pytest.raises(ValueError, match="29 masks"):
        downloads.download("mvtec_ad", "toothbrush", tmp_path, [url], sha256)
    assert not files(tmp_path)
    mvtec_tree(tmp_path / "mvtec_ad" / "toothbrush", counts=(59, 12, 30), side=8)
    with pytest.raises(ValueError, match="Move the folder away"):
        downloads.download("mvtec_ad", "toothbrush", tmp_path, [url], sha256)


def test_command_line(server, toothbrush, tmp_path, monkeypatch, capsys):
    """Catches a command that does not reach the function, or does not name the licence."""
    url, sha256 = pack(server, toothbrush)
    known = replace(data.info("mvtec_ad"), archive=Archive((url,), sha256))
    monkeypatch.setitem(downloads.CATALOGUE, "mvtec_ad", known)
    downloads.main(["mvtec_ad", "toothbrush", "--root", str(tmp_path)])
    printed = capsys.readouterr().out
    assert "CC BY-NC-SA 4.0" in printed
    assert str(tmp_path / "mvtec_ad") in printed
