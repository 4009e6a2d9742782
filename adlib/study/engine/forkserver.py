"""Processes of a study as forks of one that has imported the large libraries already.

A kernel of its own spends most of a small notebook importing torch, pandas and the plotting
libraries. The server imports them once and forks whenever it is asked to run a module, a kernel for
instance; what that does stays in its fork. `adlib` itself is not imported beforehand, so that every
notebook runs the code that lies on the disk when it starts. Linux only: elsewhere a fork may break
libraries.

`python -m adlib.study.engine.forkserver run MODULE ARGUMENTS...` is `python -m MODULE ARGUMENTS...`
in a fork.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from functools import partialmethod
from pathlib import Path

PR_SET_PDEATHSIG = 1  # of Linux: the signal that a process gets at the end of its parent
ADDRESS = "ADLIB_FORKSERVER"  # the environment's name for the server's socket
# Not matplotlib's inline backend: it draws only where it is imported by a running kernel.
# torch's optimisers import torch._dynamo at their first step.
LIBRARIES = (
    *("torch", "torch._dynamo", "pandas", "scipy.ndimage", "scipy.stats", "sklearn.metrics"),
    *("matplotlib.pyplot", "seaborn", "h5py", "safetensors.torch", "tqdm.auto"),
    *("IPython", "ipykernel.kernelapp", "papermill"),
)


def start(threads: int, libraries: tuple[str, ...] = LIBRARIES) -> int | None:
    """Start a server for this process and all that it starts; the environment names its socket.

    Every fork has the number of `threads`, which the `libraries` read when they are loaded.

    Returns:
        A file descriptor: the server ends when it is closed, as the end of this process does. None
        where processes cannot be forked.
    """
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):  # some Pythons are built without
        return None
    os.environ[ADDRESS] = str(Path(tempfile.mkdtemp(prefix="adlib-fork-")) / "socket")
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    until, held = os.pipe()
    subprocess.Popen(
        [sys.executable, "-m", "adlib.study.engine.forkserver", "serve", *libraries],
        env=os.environ | dict.fromkeys(names, str(threads)),
        stdin=until,
        # An interrupt from the keyboard is for the study, which then ends the server.
        start_new_session=True,
    )
    os.close(until)
    return held


def running() -> bool:
    """Whether the environment names a server on this machine that listens."""
    if ADDRESS not in os.environ or not Path(os.environ[ADDRESS]).is_socket():
        return False
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(os.environ[ADDRESS]) == 0


class ServerGoneError(RuntimeError):
    """The server has ended; to papermill's caller it is a dead kernel, which may be tried again."""


class ForkedProcess:
    """`python -m ...` in a fork, with what `jupyter_client` uses of `subprocess.Popen`.

    The command is a Python, "-m", a module and its arguments.

    Raises:
        ServerGoneError: the server has ended; `wait` and `poll` raise it too.
    """

    stdin = stdout = stderr = None
    cpu_seconds = 0.0  # of all forks of this process that have ended

    def __init__(self, command: list[str], env: dict[str, str], cwd: str) -> None:
        self.returncode: int | None = None
        self.connection = socket.socket(socket.AF_UNIX)
        request = json.dumps({"command": command, "env": env, "cwd": cwd}).encode()
        try:
            self.connection.connect(os.environ[ADDRESS])
            self.replies = self.connection.makefile()
            socket.send_fds(self.connection, [len(request).to_bytes(8)], [1, 2])
            self.connection.sendall(request)
        except OSError as error:
            raise ServerGoneError(f"the fork server has ended: {error}") from error
        self.pid = self._reply()["pid"]

    def _reply(self) -> dict:
        """The server's next line; without one, the server has ended and its forks with it."""
        with contextlib.suppress(ConnectionError):
            if line := self.replies.readline():
                return json.loads(line)
        raise ServerGoneError("the fork server has ended")

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and give its exit status, or minus the signal that ended it.

        Raises:
            TimeoutError: it did not end in `timeout` seconds.
        """
        if self.returncode is None:
            self.connection.settimeout(timeout)
            end = self._reply()
            self.returncode = end["status"]
            ForkedProcess.cpu_seconds += end["cpu_s"]
            self.connection.close()
        return self.returncode

    def poll(self) -> int | None:
        """Its exit status, or None while it runs."""
        if self.returncode is None and not select.select([self.connection], [], [], 0)[0]:
            return None
        return self.wait()

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    terminate = partialmethod(send_signal, signal.SIGTERM)
    kill = partialmethod(send_signal, signal.SIGKILL)


class Server:
    """Forks, tells the asker how the fork ends, and ends the fork when the asker has gone."""

    def __init__(self, address: str) -> None:
        self.waiting = selectors.DefaultSelector()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(address)
        self.listener.listen()  # who asks before the libraries are there waits
        self.waiting.register(self.listener, selectors.EVENT_READ, self._accept)
        self.waiting.register(sys.stdin, selectors.EVENT_READ, None)

    def serve(self) -> None:
        """Answer until the process that started the server has gone."""
        while True:
            for key, _ in self.waiting.select():
                if key.fileobj is sys.stdin:
                    return
                # Else another event of this round has ended it already.
                if self.waiting.get_map().get(key.fd) == key:
                    key.data()

    def _accept(self) -> None:
        """Fork for a new connection."""
        connection, _ = self.listener.accept()
        size, descriptors, _, _ = socket.recv_fds(connection, 8, 2)
        with connection.makefile("rb") as file:
            text = file.read(int.from_bytes(size))
        if len(size) < 8 or len(text) < int.from_bytes(size):  # the asker died over it
            for open_end in (connection.detach(), *descriptors):
                os.close(open_end)
            return
        request = json.loads(text)
        request["env"]["JPY_PARENT_PID"] = str(os.getpid())  # whose end ends a kernel
        pid = os.fork()
        if pid == 0:
            self.waiting.close()
            self.listener.close()
            connection.close()
            become(request, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        ended = os.pidfd_open(pid)
        tell(connection, {"pid": pid})

        def asker_gone() -> None:
            self.waiting.unregister(connection)
            signal.pidfd_send_signal(ended, signal.SIGKILL)

        def fork_gone() -> None:
            _, status, used = os.wait4(pid, 0)
            cpu = used.ru_utime + used.ru_stime
            self.waiting.unregister(ended)
            os.close(ended)
            if connection in self.waiting.get_map():
                self.waiting.unregister(connection)
                tell(connection, {"status": os.waitstatus_to_exitcode(status), "cpu_s": cpu})
            connection.close()

        self.waiting.register(connection, selectors.EVENT_READ, asker_gone)
        self.waiting.register(ended, selectors.EVENT_READ, fork_gone)


def tell(connection: socket.socket, fact: dict) -> None:
    """Send a line to the asker; that one has gone is seen by the end of its connection."""
    with contextlib.suppress(ConnectionError):
        connection.sendall(json.dumps(fact).encode() + b"\n")


def become(request: dict, descriptors: list[int]) -> None:
    """Turn this fork into the process that its command would start; it ends with the server."""
    status = 1
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if str(os.getppid()) != request["env"]["JPY_PARENT_PID"]:  # the server ended before that
            return
        os.setsid()
        null = os.open(os.devnull, os.O_RDONLY)
        for source, target in zip([null, *descriptors], (0, 1, 2), strict=True):
            os.dup2(source, target)
            os.close(source)
        os.environ.clear()
        os.environ.update(request["env"])
        os.chdir(request["cwd"])
        module = request["command"].index("-m") + 1
        sys.argv = request["command"][module:]
        gc.unfreeze()
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:  # not the server's own way out
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def serve(libraries: list[str]) -> None:
    """Serve at the address that the environment names."""
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"  # as in every kernel
    address = Path(os.environ[ADDRESS])
    try:
        server = Server(str(address))
        for name in libraries:
            importlib.import_module(name)
        gc.collect()
        gc.freeze()  # else the first collection of every fork would copy the pages it looks at
        server.serve()
    finally:
        address.unlink(missing_ok=True)
        address.parent.rmdir()


def run(command: list[str]) -> None:
    """Run a module with its arguments in a fork, or in this process where there is no server."""
    if running():
        python = [sys.executable, "-m", *command]
        with contextlib.suppress(ServerGoneError):  # its fork is gone too: this process begins anew
            sys.exit(ForkedProcess(python, dict(os.environ), str(Path.cwd())).wait())
    sys.argv = command
    runpy.run_module(command[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    {"serve": serve, "run": run}[sys.argv[1]](sys.argv[2:])
