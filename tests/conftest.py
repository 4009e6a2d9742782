"""Every test works in its own folders, on one thread, without a display and without a network."""

import os
import socket

import pytest

# Before torch is imported: small tensors are slower on several threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["MPLBACKEND"] = "Agg"
LOOPBACK = ("127.", "::1", "localhost")


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
