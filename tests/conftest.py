"""Every test works in its own folders, on one thread, without a display and without a network."""

import os
import shutil
import socket
from pathlib import Path

import pytest

# Before torch is imported: small tensors are slower on several threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["MPLBACKEND"] = "Agg"
os.environ["ADLIB_PROFILES"] = str(Path(__file__).parent)  # smoke.toml
if "ADLIB_TEST_SEED" in os.environ:
    import seeds

    seeds.install(int(os.environ["ADLIB_TEST_SEED"]))
LOOPBACK = ("127.", "::1", "localhost")
# Whole studies and JupyterLab take longest: with several workers they begin first, and none is left
# over.
FIRST = ("test_notebooks.py", "test_snakefile.py", "test_cluster.py", "test_own_folder.py",
         "test_jupyterlab.py")  # fmt: skip


@pytest.hookimpl(optionalhook=True)  # also without pytest-xdist
def pytest_xdist_make_scheduler(config, log):
    """With several workers (`-n 2`), a file is one worker's: what it has trained it trains once."""
    from xdist.scheduler import LoadFileScheduling

    config.option.loadscopereorder = False  # keeps the order of the next function
    return LoadFileScheduling(config, log)


def pytest_collection_modifyitems(config, items):
    """Put the long files first, for several workers; one runs all in the usual order."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.path.name not in FIRST)


@pytest.fixture(scope="session", autouse=True)
def shared_folders(tmp_path_factory):
    """Data, runs, decoded images and results of the session; nobody's own folders are touched."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DATA", "RUNS", "CACHE", "RESULTS"):
            patch.setenv(f"ADLIB_{name}", str(tmp_path_factory.mktemp(name.lower())))
        yield


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """Runs and results of one test: none depends on what another has trained."""
    monkeypatch.setenv("ADLIB_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("ADLIB_RESULTS", str(tmp_path / "results"))


@pytest.fixture(scope="session", autouse=True)
def no_network():
    """A connection to another host is an error, not a slow test."""
    connect = socket.socket.connect

    def guarded(self, address):
        host = address[0] if isinstance(address, tuple) else ""
        if isinstance(host, str) and host and not host.startswith(LOOPBACK):
            raise OSError(f"tests use no network: connection to {host}")
        return connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield


@pytest.fixture
def no_data(tmp_path, monkeypatch):
    """A data root without data sets."""
    monkeypatch.setenv("ADLIB_DATA", str(tmp_path / "data"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A made-up results tree, to read."""
    from report_tree import made_tree

    return made_tree(tmp_path_factory.mktemp("made") / "results")


@pytest.fixture
def tree(made, tmp_path):
    """A copy of it to change."""
    return Path(shutil.copytree(made, tmp_path / "results", ignore=lambda *_: ["report"]))
