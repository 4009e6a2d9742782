"""Processes that are forked: what they find, what they leave, and what ends them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from test_execute import call, printed, record_of, write_notebook

from adlib.study.engine import forkserver

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")
HOME = Path(__file__).resolve().parents[2]
ASKED = """
import os, sys
print(os.getppid(), sys.argv[1:])
if sys.argv[1] == "fail":
    raise OSError("no luck")
sys.exit(3)
"""
RUN = [sys.executable, "-m", "timeit", "-n1", "-r1"]
ENVIRONMENT = dict(os.environ)
WANTED = ("matplotlib", "IPython", "ipykernel")
LIBRARIES = (*(n for n in forkserver.LIBRARIES if n.startswith(WANTED)), "colorsys")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server for the tests of this module, in the environment of their calls."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "asked.py").write_text(ASKED, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{HOME}")
        patch.delenv(forkserver.ADDRESS, raising=False)
        held = forkserver.start(1, LIBRARIES)
        until(forkserver.running)
        yield next(
            p for p in psutil.Process().children() if "adlib.study.engine.forkserver" in p.cmdline()
        )
        address = os.environ[forkserver.ADDRESS]
        last = forkserver.ForkedProcess([*RUN, "import time; time.sleep(600)"], ENVIRONMENT, ".")
        os.close(held)
        until(lambda: not psutil.pid_exists(last.pid))
        until(lambda: not os.path.exists(os.path.dirname(address)))  # noqa: PTH110, PTH120


def until(condition):
    """Wait for a condition of another process."""
    while not condition():
        time.sleep(0.05)


def test_a_forked_kernel_is_one_like_any_other(server, tmp_path):
    """Would catch a kernel of its own, another folder or environment, a lost output, or a name
    and an imported module that one notebook leaves to the next."""
    source = (
        "import os, sys\n"
        "print('colorsys' in sys.modules, 'adlib.host.paths' in sys.modules, os.getppid())\n"
        "print(os.path.basename(os.getcwd()), os.environ['MARK'], os.environ['TQDM_DISABLE'])\n"
        "print('left' in globals(), 'wave' in sys.modules)\nleft = 1\nimport wave\n"
        "os.environ['MARK'] = 'changed'\nsum(range(10**7))\n"
        "import matplotlib.pyplot as plt\nplt.plot([1, 2]);"
    )
    notebook = write_notebook(tmp_path / "books" / "a.ipynb", source)
    for mark in ("one", "two"):
        output = tmp_path / f"{mark}.ipynb"
        done = call(notebook, output, MARK=mark)
        assert done.returncode == 0, done.stderr
        lines = f"True False {server.pid}\nbooks {mark} 1\nFalse False\n"
        assert printed(output) == lines
        assert '"image/png"' in output.read_text(encoding="utf-8"), "a figure is not drawn"
        record = record_of(output)
        assert 0.1 < record["cpu_s"] < 2 * record["duration_s"]
    until(lambda: not server.children())


def test_a_forked_kernel_that_dies_may_be_tried_again(server, tmp_path):
    """Would catch a server that a dead kernel takes along, and a death taken for an error."""
    source = "import os, pathlib\nif not pathlib.Path('x').exists():\n    open('x', 'w').close()\n"
    notebook = write_notebook(tmp_path / "books" / "a.ipynb", source + "    os._exit(9)")
    assert call(notebook, tmp_path / "cell.ipynb").returncode == 1
    assert record_of(tmp_path / "cell.ipynb")["transient"] is True
    assert call(notebook, tmp_path / "cell.ipynb", "--attempt", "2").returncode == 0


def test_a_fork_ends_with_who_asked_for_it(server, tmp_path):
    """Would catch a kernel that goes on after its study was killed, and a wrong exit status."""

    def run(statement):
        return forkserver.ForkedProcess([*RUN, statement], ENVIRONMENT, ".")

    process = run("pass")
    assert process.wait() == 0 and process.poll() == 0
    process = run("import time; time.sleep(600)")
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait() == -signal.SIGTERM
    process = run("import time; time.sleep(600)")
    process.replies.close()
    process.connection.close()
    until(lambda: not server.children())
    with socket.socket(socket.AF_UNIX) as connection:  # one that dies while it asks
        connection.connect(os.environ[forkserver.ADDRESS])
        connection.send((100).to_bytes(8))
    assert run("pass").wait() == 0


def test_a_module_runs_in_a_fork_or_here(server):
    """Would catch arguments, an output, an error or an exit status that does not come through."""
    alone = {k: v for k, v in os.environ.items() if k != forkserver.ADDRESS}
    for environment, parent in ((dict(os.environ), server.pid), (alone, os.getpid())):
        for word, status, message in (("a b", 3, ""), ("fail", 1, "OSError: no luck\n")):
            done = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "adlib.study.engine.forkserver",
                    "run",
                    "asked",
                    word,
                    "--c",
                ],
                env=environment,
                capture_output=True,
                text=True,
            )
            assert done.stdout == f"{parent} {[word, '--c']}\n", done.stderr
            assert done.returncode == status
            assert done.stderr.endswith(message) and bool(done.stderr) == bool(message)


def test_a_killed_server_takes_its_forks_along(tmp_path, monkeypatch):
    """Would catch a fork that goes on beside its second try, and cells that fail one after another
    because the socket of a dead server still lies there."""
    monkeypatch.setenv(forkserver.ADDRESS, "")
    held = forkserver.start(1, ("colorsys",))
    until(forkserver.running)
    fork = forkserver.ForkedProcess([*RUN, "import time; time.sleep(600)"], dict(os.environ), ".")
    os.kill(psutil.Process(fork.pid).ppid(), signal.SIGKILL)
    with pytest.raises(forkserver.ServerGoneError, match="has ended"):
        fork.wait()
    until(lambda: not psutil.pid_exists(fork.pid))
    assert Path(os.environ[forkserver.ADDRESS]).is_socket() and not forkserver.running()
    with pytest.raises(forkserver.ServerGoneError, match="has ended: "):
        forkserver.ForkedProcess([*RUN, "pass"], dict(os.environ), ".")
    notebook = write_notebook(tmp_path / "books" / "a.ipynb", "print('ran')")
    assert call(notebook, tmp_path / "cell.ipynb").returncode == 0
    os.close(held)


def test_without_a_server_here_a_kernel_is_started(tmp_path, monkeypatch):
    """Would catch a cell on another node of a cluster that waits for this machine's server."""
    monkeypatch.setenv(forkserver.ADDRESS, str(tmp_path / "elsewhere"))
    notebook = write_notebook(tmp_path / "books" / "a.ipynb", "print('ran')")
    assert call(notebook, tmp_path / "cell.ipynb").returncode == 0
    assert json.loads((tmp_path / "cell.json").read_text(encoding="utf-8"))["status"] == "done"


def test_the_server_imports_nothing_of_adlib():
    """Would catch a study that goes on with code as it was before an edit."""
    assert not [name for name in forkserver.LIBRARIES if name.startswith("adlib")]
