"""Download against a server on loopback: good, damaged and hostile archives, and second calls."""

import hashlib
import io
import shutil
import tarfile
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from data_trees import mvtec_tree

import adlib.data as data
from adlib import cli
from adlib.data import catalogue
from adlib.data import download as downloads
from adlib.data.dataset import Archive

COUNTS = (60, 12, 30)  # toothbrush, the smallest category of MVTec AD
CUT = 10000  # bytes after which a connection breaks off, about half an archive


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder, from the middle of a file too, and notes what is asked for."""

    def do_GET(self):
        wanted = self.headers.get("Range", "")
        self.server.asked.append(self.path)
        self.server.ranges.append(wanted)
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            return super().do_GET()
        content = path.read_bytes()
        start = int(wanted.removeprefix("bytes=")[:-1]) if wanted and self.server.resumes else 0
        if start >= len(content):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        sent, self.server.cut = content[start:][: self.server.cut], None
        self.wfile.write(sent)
        self.server.sent.append(len(sent))
        return None

    def log_message(self, *_):
        pass


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADLIB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def server(tmp_path):
    """A server on loopback: `.folder` is served, `.asked` lists the requests.

    `.ranges` and `.sent` list what part of a file was asked for and how many bytes went out. The
    next transfer breaks off after `.cut` bytes; without `.resumes` a file always comes whole.
    """
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    server.folder, server.asked, server.ranges, server.sent = folder, [], [], []
    server.cut, server.resumes = None, True
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


def download(category, root, urls, sha256):
    """Get a category of MVTec AD from other addresses than the real ones."""
    known = replace(data.info("mvtec_ad"), archive=Archive(tuple(urls), sha256))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(catalogue.CATALOGUE, "mvtec_ad", known)
        return downloads.download("mvtec_ad", category, root)


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
    get = partial(download, "toothbrush", tmp_path, [broken, url], sha256=sha256)
    assert get() == tmp_path / "mvtec_ad"
    images = data.load("mvtec_ad", "toothbrush", tmp_path)
    counts = images.counts()
    assert (counts["n_train_normal"], counts["n_test_normal"], counts["n_test_abnormal"]) == COUNTS
    assert images.has_masks
    assert images.sides() == (8, 8)
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
        download("toothbrush", tmp_path, [url, server.url + "no"], "0" * 64)
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
        download("toothbrush", tmp_path, [url], sha256)
    assert not files(tmp_path)
    assert not (tmp_path / "mvtec_ad" / ".unpacking").exists()


@pytest.fixture
def broken_off(server, toothbrush, tmp_path):
    """A transfer that broke off half-way: the call to repeat, archive and its part file."""
    url, sha256 = pack(server, toothbrush)
    server.cut = CUT
    get = partial(download, "toothbrush", tmp_path, [url])
    with pytest.raises(ConnectionError, match="Call again: the transfer goes on"):
        get(sha256=sha256)
    (part,) = (tmp_path / "mvtec_ad" / ".archive").glob("*.part")
    assert CUT - 2**13 < part.stat().st_size <= CUT
    return partial(get, sha256=sha256), server.folder / "archive.tar.xz", part


def installed(root):
    """Whether the category is there and nothing but the archive beside it."""
    left = [path.name for path in (root / "mvtec_ad" / ".archive").iterdir()]
    return files(root) == [root / "mvtec_ad" / "toothbrush"] and left == ["archive.tar.xz"]


def test_broken_transfer_goes_on(server, broken_off, tmp_path, capsys):
    """Catches gigabytes fetched once more after a broken connection, and a lost progress bar."""
    get, archive, part = broken_off
    have, size = part.stat().st_size, archive.stat().st_size
    get()
    assert server.ranges == ["", f"bytes={have}-"]
    assert server.sent == [CUT, size - have]
    assert installed(tmp_path)
    assert "100%" in capsys.readouterr().err


def test_broken_transfer_goes_on_at_the_next_address(server, toothbrush, tmp_path):
    """Catches addresses that each begin anew, or a refusal (404) that throws away what has come."""
    url, sha256 = pack(server, toothbrush)
    server.cut = CUT
    urls = [url, server.url + "nowhere/archive.tar.xz", url]
    download("toothbrush", tmp_path, urls, sha256)
    first, second, third = server.ranges
    assert first == "" and second == third != ""
    assert installed(tmp_path)


def test_server_that_cannot_go_on(server, broken_off, tmp_path):
    """Catches a whole file appended to the part that was there."""
    get, archive, _ = broken_off
    server.resumes = False
    get()
    assert len(server.ranges) == 2  # the second answer is the whole file: no third request
    assert server.sent == [CUT, archive.stat().st_size]
    assert installed(tmp_path)


@pytest.mark.parametrize("kept", [5000, None])
def test_file_of_another_size(server, broken_off, tmp_path, kept):
    """Catches the halves of two files put together; the new file may end before the part does."""
    get, archive, _ = broken_off
    content = archive.read_bytes()
    archive.write_bytes(content[:kept] + (b"" if kept else b"more"))
    with pytest.raises(ConnectionError, match="hash"):
        get()  # the archive that is wanted is no longer there
    assert [bool(wanted) for wanted in server.ranges] == [False, True, False]
    assert server.sent[-1] == archive.stat().st_size
    archive.write_bytes(content)
    get()
    assert server.ranges[3:] == [""]
    assert installed(tmp_path)


def test_wrong_part_is_thrown_away(server, broken_off, tmp_path):
    """Catches damaged bytes that every later call goes on from, so that none ever succeeds."""
    get, _, part = broken_off
    part.write_bytes(b"?" * part.stat().st_size)
    with pytest.raises(ConnectionError, match="hash") as error:
        get()
    assert "Call again" not in str(error.value)
    assert not part.exists()
    get()
    assert [bool(wanted) for wanted in server.ranges] == [False, True, False]
    assert installed(tmp_path)


def test_whole_part_is_not_fetched_again(server, broken_off, tmp_path):
    """Catches a file that came whole just before a kill and is asked for once more."""
    get, archive, part = broken_off
    part.write_bytes(archive.read_bytes())
    get()
    assert len(server.asked) == 1
    assert installed(tmp_path)


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
        download("toothbrush", tmp_path / "root", [url], sha256)
    assert repr(bad.name) in str(error.value)
    assert not files(tmp_path / "root")
    assert not list(tmp_path.rglob("outside.png"))


def test_missing_category_and_wrong_counts(server, toothbrush, tmp_path):
    """Catches an archive of other contents, or an old half-unpacked folder, taken for whole."""
    url, sha256 = pack(server, toothbrush)
    with pytest.raises(ValueError, match="does not hold the category 'screw'"):
        download("screw", tmp_path, [url], sha256)
    mvtec_tree(tmp_path / "few" / "toothbrush", counts=(60, 12, 29), side=8)
    url, sha256 = pack(server, tmp_path / "few" / "toothbrush")
    with pytest.raises(ValueError, match="test abnormal images 29 instead of 30"):
        download("toothbrush", tmp_path, [url], sha256)
    assert not files(tmp_path)
    mvtec_tree(tmp_path / "mvtec_ad" / "toothbrush", counts=(59, 12, 30), side=8)
    with pytest.raises(ValueError, match="Move the folder away"):
        download("toothbrush", tmp_path, [url], sha256)
    shutil.rmtree(tmp_path / "mvtec_ad" / "toothbrush" / "ground_truth")
    with pytest.raises(ValueError, match="without masks"):
        download("toothbrush", tmp_path, [url], sha256)


def test_command_line(server, toothbrush, tmp_path, monkeypatch, capsys):
    """Catches a command that does not reach the function, or does not name the licence."""
    url, sha256 = pack(server, toothbrush)
    known = replace(data.info("mvtec_ad"), archive=Archive((url,), sha256))
    monkeypatch.setitem(catalogue.CATALOGUE, "mvtec_ad", known)
    cli.main(["data", "get", "mvtec_ad", "toothbrush", "--root", str(tmp_path)])
    printed = capsys.readouterr().out
    assert "CC BY-NC-SA 4.0" in printed
    assert str(tmp_path / "mvtec_ad") in printed
