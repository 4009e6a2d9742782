"""The strict call of papermill: what it refuses, what it leaves, what the kernel is given."""

import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from adlib.study.engine import execute

PARAMETERS = 'category = "mono"  # which\nseed: int = 0\nrate = 0.5\nfast = False\nroot = None'


def write_notebook(path, *sources, parameters=PARAMETERS):
    """Write a notebook with a parameters cell and code cells `sources`."""

    def cell(i, source, tags=()):
        shared = {"cell_type": "code", "outputs": [], "execution_count": None}
        return shared | {"id": f"c{i}", "source": source, "metadata": {"tags": list(tags)}}

    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [cell(0, parameters, ["parameters"]), *(cell(i + 1, s) for i, s in enumerate(sources))]
    content = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content | {"cells": cells}), encoding="utf-8")
    return path


def call(notebook, output, *arguments, **environment):
    """Run `python -m adlib run` as Snakemake does."""
    return subprocess.run(
        [sys.executable, "-m", "adlib", "run", str(notebook), str(output), *arguments],
        env=os.environ | environment,
        cwd=notebook.parent.parent,
        capture_output=True,
        text=True,
    )


def record_of(output):
    """The record beside an executed notebook."""
    return json.loads(output.with_suffix(".json").read_text(encoding="utf-8"))


def printed(output):
    """What the cells of an executed notebook printed."""
    cells = json.loads(output.read_text(encoding="utf-8"))["cells"]
    return "".join("".join(o.get("text", "")) for c in cells for o in c.get("outputs", []))


def test_a_run(tmp_path):
    """Catches parameters, folder, environment or record that do not arrive as described."""
    source = (
        "import os, pathlib\nprint(repr((category, seed, rate, fast, root)))\n"
        "print(pathlib.Path.cwd().name, pathlib.Path(os.environ['ADLIB_DATA']).as_posix())\n"
        "print(*(os.environ[n] for n in ('TQDM_DISABLE', 'PYTHONHASHSEED', 'OMP_NUM_THREADS')))"
    )
    notebook = write_notebook(tmp_path / "books" / "a b.ipynb", source)
    output = tmp_path / "out" / "two words.ipynb"
    given = ["-p", "category", "two words", "-p", "seed", "3", "-p", "rate", "1", "-p", "fast"]
    done = call(notebook, output, *given, "true", ADLIB_DATA="rel/data", ADLIB_THREADS="2")
    assert done.returncode == 0, done.stderr
    data = (tmp_path / "rel" / "data").as_posix()
    expected = f"('two words', 3, 1.0, True, None)\nbooks {data}\n1 0 2\n"
    assert printed(output) == expected
    record = record_of(output)
    assert (record["status"], record["error"]) == ("done", "")
    assert record["parameters"] == {"category": "two words", "seed": 3, "rate": 1.0, "fast": True}
    assert 0 < record["startup_s"] <= record["duration_s"]
    assert {"notebook", "notebook_sha256", "started", "commit", "dirty"} <= set(record)
    assert {"adlib", "torch", "python"} <= set(record["versions"])
    assert len(done.stdout.splitlines()) == 1
    assert "a b" in done.stdout
    assert sorted(p.name for p in output.parent.iterdir()) == ["two words.ipynb", "two words.json"]


def test_failing_cell(tmp_path, monkeypatch):
    """Catches a failure without notebook, or beside numbers of an earlier run, or tried again."""
    source = "print('before')\nraise ValueError('no\\nluck')"
    notebook = write_notebook(tmp_path / "books" / "fails.ipynb", source)
    output = tmp_path / "quick" / "cells" / "cell.ipynb"
    output.parent.mkdir(parents=True)
    monkeypatch.setenv("ADLIB_RESULTS", str(tmp_path))
    kept = [output.parent / name for name in ("cell2.csv", "cell2__a.png")]
    for file in [*kept, output.with_suffix(".csv"), output.parent / "cell__a.png"]:
        file.touch()
    done = call(notebook, output)
    assert done.returncode == 1
    assert record_of(output)["status"] == "failed"
    assert record_of(output)["error"] == "ValueError in cell [2]: no luck"
    assert "no luck" in done.stderr
    assert "before" in printed(output)
    assert sorted(output.parent.iterdir()) == sorted([*kept, output, output.with_suffix(".json")])
    started = output.stat().st_mtime_ns
    assert call(notebook, output, "--attempt", "2").returncode == 1
    assert output.stat().st_mtime_ns == started, "a second attempt ran what would fail again"


def test_killed_kernel_may_be_tried_again(tmp_path):
    """Catches a dead kernel taken for an error of the notebook, or a retry that does not run."""
    source = (
        "import os, pathlib\nmark = pathlib.Path('mark')\n"
        "if not mark.exists():\n    mark.touch()\n    os._exit(9)"
    )
    notebook = write_notebook(tmp_path / "books" / "dies.ipynb", source)
    output = tmp_path / "cell.ipynb"
    assert call(notebook, output).returncode == 1
    assert record_of(output)["transient"] is True
    assert output.is_file()
    assert call(notebook, output, "--attempt", "2").returncode == 0
    assert record_of(output)["status"] == "done"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("categry", "poly", "has no parameter 'categry'; did you mean category?"),
        ("zzz", "1", "did you mean category, fast, rate, root, seed?"),
        ("seed", "1.5", "'seed' must be int, like its default 0: got 1.5"),
        ("seed", "True", "'seed' must be int"),
        ("seed", "one", "'seed' must be int, like its default 0: got 'one'"),
        ("rate", "[1]", "'rate' must be float"),
        ("fast", "1", "'fast' must be bool"),
        ("category", 3, "'category' must be str"),
        ("root", 3, "'root' must be str, like its default None"),
    ],
)
def test_refused(tmp_path, name, value, message):
    """Catches a misspelt or mistyped parameter that would leave the default in place."""
    notebook = write_notebook(tmp_path / "a.ipynb")
    with pytest.raises(ValueError, match=re.escape(message)):
        execute.checked(notebook, {name: value})


def test_refused_before_anything_runs(tmp_path):
    """Catches a refusal that comes after the kernel was started, or that leaves no trace."""
    notebook = write_notebook(tmp_path / "books" / "a.ipynb", "open('ran', 'w').close()")
    done = call(notebook, tmp_path / "cell.ipynb", "-p", "sed", "1")
    assert done.returncode == 1
    assert "did you mean seed?" in done.stderr
    assert record_of(tmp_path / "cell.ipynb")["status"] == "failed"
    assert not (tmp_path / "books" / "ran").exists()


@pytest.mark.parametrize("name", ["{run}", "seed{seed}", "{", "a" * 243])
def test_an_output_has_the_name_it_was_given(tmp_path, name):
    """Catches braces that papermill fills in, and a name too long for a temporary one beside it."""
    notebook = write_notebook(tmp_path / "{books}" / "a.ipynb", "print('ran')")
    output = tmp_path / "{out}" / f"{name}.ipynb"
    assert execute.run(notebook, output, {}) == 0
    assert printed(output) == "ran\n"
    left = sorted(file.name for file in output.parent.iterdir())
    assert left == [f"{name}.ipynb", f"{name}.json"]


def test_nothing_but_an_earlier_result_is_replaced(tmp_path):
    """Catches a notebook, table, picture or data of the user's that an execution writes over."""
    notebook = write_notebook(tmp_path / "a.ipynb", "print('ran')")
    mine, output = write_notebook(tmp_path / "mine.ipynb"), tmp_path / "out.ipynb"
    kept = [notebook, mine, *(tmp_path / name for name in ("out.csv", "out__a.png", "b.json"))]
    (tmp_path / "out.csv").write_text("x,y")
    (tmp_path / "out__a.png").touch()
    (tmp_path / "b.json").write_text('{"mine": 1}')
    (tmp_path / "link.ipynb").symlink_to(notebook)
    before = [file.read_bytes() for file in kept]
    for place, said in [
        (notebook, "is the notebook itself"),
        (tmp_path / "link.ipynb", "is the notebook itself"),
        (mine, "is there and is not an executed notebook of this program's"),
        (tmp_path / "b.ipynb", "b.json is there and is not the record of an execution"),
    ]:
        with pytest.raises(ValueError, match=said):
            execute.run(notebook, place, {})
    for _ in range(2):
        assert execute.run(notebook, output, {}) == 0
    assert printed(output) == "ran\n"
    assert [file.read_bytes() for file in kept] == before
    assert not (tmp_path / "mine.json").exists() and not (tmp_path / "b.ipynb").exists()


def test_text_stays_text():
    """Catches a category named like a number, or like None, that changes its type."""
    assert execute.typed("category", "007", "mono") == "007"
    assert execute.typed("category", "None", "mono") == "None"
    assert execute.typed("root", "None", None) is None
    assert execute.typed("root", "x/1", None) == "x/1"


@pytest.mark.parametrize("source", ["a = len('x')", "a = b"])
def test_parameters_are_constants(tmp_path, source):
    """Catches a default that cannot be compared with what is given."""
    notebook = write_notebook(tmp_path / "a.ipynb", parameters=source)
    with pytest.raises(ValueError, match="is not a plain constant"):
        execute.defaults(notebook)


def test_parameters_cell_is_needed(tmp_path):
    """Catches a notebook whose parameters have no place to go to."""
    notebook = write_notebook(tmp_path / "a.ipynb")
    text = notebook.read_text(encoding="utf-8")
    notebook.write_text(text.replace('"parameters"', '"other"'), encoding="utf-8")
    with pytest.raises(ValueError, match="0 cells are tagged 'parameters'"):
        execute.defaults(notebook)


def test_a_killed_execution_leaves_a_record(tmp_path, monkeypatch):
    """Catches a killed cell without a trace, or with the numbers of an earlier execution."""
    notebook, output = tmp_path / "a.ipynb", tmp_path / "quick" / "cells" / "b.ipynb"
    output.parent.mkdir(parents=True)
    notebook.touch()
    monkeypatch.setenv("ADLIB_RESULTS", str(tmp_path))
    for old in (output, output.with_suffix(".csv")):
        old.touch()
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setattr(execute, "checked", lambda notebook, given: given)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(execute, "run_papermill", killed)
    with pytest.raises(KeyboardInterrupt):
        execute.run(notebook, output, {"seed": 1})
    record = json.loads(output.with_suffix(".json").read_text(encoding="utf-8"))
    assert record["status"] == "unfinished" and record["error"].endswith("as job 7")
    assert [file.name for file in output.parent.iterdir()] == ["b.json"]
    with pytest.raises(KeyboardInterrupt):  # a second attempt is made
        execute.run(notebook, output, {"seed": 1}, attempt=2)


def test_kernel_that_does_not_start_gets_a_second_try(tmp_path, monkeypatch):
    """Catches a start lost to a port that another kernel took, and a try too many."""
    errors = [RuntimeError("Kernel died before replying to kernel_info")]

    def start(*arguments, **options):
        if errors:
            raise errors.pop()

    monkeypatch.setitem(sys.modules, "papermill", SimpleNamespace(execute_notebook=start))
    execute.run_papermill(tmp_path / "a.ipynb", tmp_path / "b.ipynb", {})
    assert errors == []
    errors.extend([RuntimeError("Kernel died before replying to kernel_info")] * 2)
    with pytest.raises(RuntimeError, match="before replying"):
        execute.run_papermill(tmp_path / "a.ipynb", tmp_path / "b.ipynb", {})
