"""Notebooks in a real JupyterLab, run by its menus in a headless Chromium."""

import contextlib
import json
import re
import shutil
import sys
import tempfile

import browser
import psutil
import pytest
from browser import wait

from adlib.host import paths
from adlib.study import profiles

pytestmark = pytest.mark.skipif(
    bool(browser.LACKING), reason=f"not installed: {', '.join(browser.LACKING)}"
)
# Quick ones: the tour, a table, a figure of the table's run. They share runs and results.
NOTEBOOKS = ("beyond/00_start_here", "ganomaly/table1_mnist", "ganomaly/figure_reconstructions")
PLANNED = {f"{cell.paper}/{cell.notebook}": cell for cell in profiles.cells("smoke")}
OPTIONS = ["--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0"]
OPTIONS += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]  # no network
STATUS = "return document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status"
# What stands before the code cells: "[ ]:" not run, "[*]:" running or waiting, "[3]:" run.
PROMPTS = """
return [...document.querySelectorAll('.jp-Notebook .jp-CodeCell .jp-InputPrompt')]
    .map(prompt => prompt.textContent)
"""
DIALOGS = "return [...document.querySelectorAll('.jp-Dialog')].map(dialog => dialog.innerText)"
SAVED = "return document.querySelector('.jp-mod-dirty') === null"
DRAWN = """
return [...document.querySelectorAll('.jp-Notebook .jp-OutputArea-output')]
    .map(output => output.textContent)
"""
UNDRAWN = re.compile("Error displaying widget|JavaScript Error|Error rendering", re.IGNORECASE)
# Whether an output of the last code cell takes up room on the page.
LAST_SHOWN = """
const last = [...document.querySelectorAll('.jp-Notebook .jp-CodeCell')].at(-1);
last.scrollIntoView();
return [...last.querySelectorAll('.jp-OutputArea-output')].some(output => output.offsetHeight > 0)
"""


class Lab:
    """JupyterLab in a browser, with one notebook open at a time."""

    def __init__(self, page, address, token, root):
        self.page, self.address, self.token, self.root = page, address, token, root

    def open(self, name):
        """Open `<paper>/<notebook>` alone and wait until it has a kernel."""
        self.name, self.file = name, self.root / f"{name}.ipynb"
        self.page.open(f"{self.address}lab/tree/{name}.ipynb?token={self.token}&reset")

        def connected():
            sessions = browser.ask(f"{self.address}api/sessions?token={self.token}")
            mine = [session for session in sessions if session["path"] == f"{name}.ipynb"]
            reached = mine and mine[0]["kernel"]["connections"]
            return reached and self.page.run(STATUS) == "idle"

        wait(connected, self.state)

    def menu(self, title, command):
        """Choose an entry of a menu, once it can be chosen."""
        bar = f"contains(@class, 'lm-MenuBar-item') and normalize-space() = '{title}'"
        entry = f"@data-command = '{command}' and not(contains(@class, 'lm-mod-disabled'))"

        def chosen():
            try:
                self.page.click(f"//li[{entry}]")
            except browser.Absent:
                self.page.click(f"//li[{bar}]")
                return False
            return True

        wait(chosen, self.state)

    def ended(self):
        """Whether cells were run and none is running or waiting."""
        run = any(re.search(r"\d", prompt) for prompt in self.page.run(PROMPTS))
        return run and self.page.run(STATUS) == "idle"

    def drawn(self):
        """Texts of all outputs; None as long as one is being drawn."""
        texts = self.page.run(DRAWN)
        return None if any("Loading widget" in text for text in texts) else texts

    def state(self):
        """Where JupyterLab stands, for messages."""
        left = [i for i, p in enumerate(self.page.run(PROMPTS)) if not re.search(r"\d", p)]
        cells = [f"code cell {i} has not ended: {source(self.cells()[i])}" for i in left[:1]]
        shown = self.page.run(STATUS), *self.page.run(DIALOGS)
        return f"{self.name}: {cells or 'all cells have run'}; JupyterLab shows {shown}"

    def cells(self):
        """Code cells of the file, as it was saved last."""
        content = json.loads(self.file.read_text(encoding="utf-8"))
        return [cell for cell in content["cells"] if cell["cell_type"] == "code"]


def source(cell):
    return "".join(cell["source"])


def set_parameters(file, values):
    """Type values into the cell tagged `parameters`, as a user would."""
    content = json.loads(file.read_text(encoding="utf-8"))
    [cell] = [c for c in content["cells"] if "parameters" in c["metadata"].get("tags", [])]
    text = source(cell)
    for name, value in values.items():
        text = re.sub(rf"^{name} = .*$", f"{name} = {value!r}", text, flags=re.MULTILINE)
    cell["source"] = text
    file.write_text(json.dumps(content), encoding="utf-8")


def kernels():
    """Command lines of all kernels below this process."""
    lines = [process.cmdline() for process in psutil.Process().children(recursive=True)]
    return [line for line in lines if "ipykernel_launcher" in line]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab on a copy of the notebooks; nobody's own settings, runs or results matter."""
    root = tmp_path_factory.mktemp("lab")
    shutil.copytree(paths.home() / "notebooks", root / "notebooks")
    own = {f"JUPYTER_{name}_DIR": str(root / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    own |= {"ADLIB_RUNS": str(root / "runs"), "ADLIB_RESULTS": str(root / "results")}
    own |= {"IPYTHONDIR": str(root / "ipython"), "MPLBACKEND": ""}  # figures show by themselves
    start = [sys.executable, "-m", "jupyterlab", str(root / "notebooks"), *OPTIONS]
    announced = r"(http://\S+/)lab\?token=(\w+)\n"
    with contextlib.ExitStack() as running:
        server = browser.program(start, root / "lab.log", announced, own)
        address, token = running.enter_context(server).groups()
        # Not under `root`: the path of Chromium's socket must be short.
        home = running.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        places = {"HOME": home, "TMPDIR": home}
        start = ["chromedriver", "--port=0"]
        driver = browser.program(start, root / "driver.log", r"on port (\d+)\.", places)
        page = browser.Browser(running.enter_context(driver)[1])
        running.callback(page.close)
        yield Lab(page, address, token, root / "notebooks")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_run_all_cells(name, lab):
    """Catches a notebook that ends under papermill but not in JupyterLab, whose kernel is another
    Python, or whose outputs JupyterLab cannot draw."""
    planned = PLANNED.get(name)
    values = {"profile": "smoke"}
    if planned:
        values |= {"dataset": planned.dataset, "category": planned.category}
    set_parameters(lab.root / f"{name}.ipynb", values)
    lab.open(name)
    assert {line[0] for line in kernels()} == {sys.executable}

    lab.menu("Run", "runmenu:run-all")
    wait(lab.ended, lab.state)
    lab.menu("File", "docmanager:save")
    wait(lambda: lab.page.run(SAVED), lab.state)
    for i, cell in enumerate(lab.cells()):
        errors = [output for output in cell["outputs"] if output["output_type"] == "error"]
        assert not errors, f"code cell {i} of {name}: {errors[0]['ename']}: {errors[0]['evalue']}"
        assert cell["execution_count"], f"code cell {i} of {name} was not run: {source(cell)}"
    assert cell["outputs"], f"the last code cell of {name} gives nothing: {source(cell)}"
    texts = wait(lab.drawn, lambda: f"{lab.state()}; a widget has not loaded")
    assert not [text for text in texts if UNDRAWN.search(text)]
    wait(lambda: lab.page.run(LAST_SHOWN), lambda: f"{lab.state()}; the last output is not shown")
    if planned:
        assert planned.file(".csv", lab.root.parent / "results").is_file()
    lab.menu("Kernel", "kernelmenu:shutdown")
