"""Run one notebook strictly: `adlib run NOTEBOOK OUTPUT -p name value ...`.

papermill only warns of a parameter that the notebook does not have and goes on with the default;
here an unknown name or a value of another type is an error before anything runs. The executed
notebook is kept at OUTPUT, also after a failure, and OUTPUT with the suffix `.json` records how it
went.
"""

import ast
import difflib
import glob
import json
import os
import platform
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adlib.host import files, paths, provenance
from adlib.study.engine import forkserver
from adlib.study.engine.gpus import slot

TOUR = "00_start_here"  # the notebook that a study runs first
DONE, FAILED, UNFINISHED = "done", "failed", "unfinished"  # what can become of an execution
# Kernels that run at once would fight over IPython's history database; what goes wrong in a cell is
# in the notebook, not in the kernel's own log.
KERNEL_ARGUMENTS = ["--HistoryManager.enabled=False", "--IPKernelApp.log_level=50"]


def defaults(notebook: Path) -> dict[str, Any]:
    """Names and default values in the notebook's cell tagged `parameters`.

    Raises:
        ValueError: not exactly one such cell, or a default that is not a plain constant.
    """
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    tagged = [c for c in cells if "parameters" in c["metadata"].get("tags", [])]
    if len(tagged) != 1:
        raise ValueError(f"{notebook}: {len(tagged)} cells are tagged 'parameters', one is needed")
    values: dict[str, Any] = {}
    for line in ast.parse("".join(tagged[0]["source"])).body:
        target = line.targets[0] if isinstance(line, ast.Assign) else getattr(line, "target", None)
        if not isinstance(target, ast.Name):
            continue
        try:
            values[target.id] = ast.literal_eval(line.value)
        except ValueError:
            text = ast.unparse(line)
            raise ValueError(f"{notebook}: parameter '{text}' is not a plain constant") from None
    return values


def typed(name: str, value: Any, default: Any) -> Any:
    """Give `value` the type of `default`; text, as from a command line, is read as Python.

    An int passes for a float; a parameter whose default is None takes text or None.

    Raises:
        ValueError: `value` is of another type.
    """
    kind = str if default is None else type(default)
    if isinstance(value, str) and kind is not str:
        with suppress(ValueError, SyntaxError):  # what stays text is refused below by its type
            value = ast.literal_eval({"true": "True", "false": "False"}.get(value, value))
    if default is None and value in (None, "None"):
        return None
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ValueError(
            f"parameter {name!r} must be {kind.__name__}, like its default {default!r}: "
            f"got {value!r}, which is {type(value).__name__}"
        )
    return value


def checked(notebook: Path, given: dict[str, Any]) -> dict[str, Any]:
    """Compare `given` with the notebook's parameters and bring the values to their types.

    Raises:
        ValueError: a name the notebook does not have (with the nearest ones), or a wrong type.
    """
    names = defaults(notebook)
    for name in given:
        if name not in names:
            near = ", ".join(difflib.get_close_matches(name, names) or sorted(names))
            raise ValueError(f"{notebook} has no parameter {name!r}; did you mean {near}?")
    return {name: typed(name, value, names[name]) for name, value in given.items()}


def prepare_environment() -> None:
    """Set what the kernel inherits: no progress bars, fixed hashing, threads, absolute folders."""
    os.environ["TQDM_DISABLE"] = "1"
    os.environ["PYTHONHASHSEED"] = "0"
    # The C library would give large blocks back to the system after every layer and fault them in
    # again at the next: on a CPU that took up to a quarter of a latent search. Read by glibc alone.
    os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**32))
    os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(2**25))  # older versions refuse more
    if "ADLIB_THREADS" in os.environ:
        os.environ["OMP_NUM_THREADS"] = os.environ["ADLIB_THREADS"]
    # The kernel works in the notebook's folder, where a relative path would mean another place.
    os.environ["ADLIB_DATA"] = str(paths.data_root())
    os.environ["ADLIB_RUNS"] = str(paths.runs_root())
    os.environ["ADLIB_CACHE"] = str(paths.cache_root())
    os.environ["ADLIB_RESULTS"] = str(paths.results_root())


def run_papermill(notebook: Path, output: Path, parameters: dict[str, Any]) -> None:
    """Execute in the notebook's folder; a kernel that dies at its start gets a second try.

    Raises:
        papermill.PapermillExecutionError: a cell raised.
        RuntimeError: the kernel died.
    """
    import papermill

    from adlib.study.engine.kernel import ForkedKernelManager

    # papermill would take braces in a path for the name of a parameter.
    places = [str(path).replace("{", "{{").replace("}", "}}") for path in (notebook, output)]
    options = {
        "cwd": notebook.parent,
        "progress_bar": False,
        "extra_arguments": KERNEL_ARGUMENTS,
        "shutdown_kernel": "immediate",  # saves a second; all that is to stay lies in files
    }
    if forkserver.running():
        options["kernel_manager_class"] = ForkedKernelManager
    try:
        papermill.execute_notebook(*places, parameters, **options)
    except RuntimeError as error:
        if "before replying" not in str(error):
            raise
        # Kernels that start at the same moment can pick the same port.
        papermill.execute_notebook(*places, parameters, **options)


def _startup_seconds(executed: Path, began: float) -> float | None:
    """Seconds until the first cell of an executed notebook began; None where none did."""
    if not executed.is_file():
        return None
    cells = json.loads(executed.read_text(encoding="utf-8"))["cells"]
    starts = [c["metadata"].get("papermill", {}).get("start_time") for c in cells]
    first = min(filter(None, starts), default=None)
    return round(datetime.fromisoformat(first).timestamp() - began, 2) if first else None


def execute(notebook: Path, output: Path, given: dict[str, Any]) -> dict[str, Any]:
    """Run `notebook` with parameters `given`, write `output` and its record, and return the record.

    What an earlier run left is removed first; of a cell of the study its numbers and pictures too,
    which never stand beside the record of another run.

    Returns:
        The record as in OUTPUT's `.json`; `status` is "done" or "failed", `transient` tells whether
        a failure may go away by itself (the kernel died) or comes from the notebook. Until then,
        and for good where this process is killed, the file says "unfinished".
    """
    notebook, output = notebook.resolve(), output.resolve()
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{files.slug(output.stem)}.part.ipynb")
    file, stale = output.with_suffix(".json"), [output, partial]
    if _of_the_study(output):  # elsewhere such files are the user's
        pictures = output.parent.glob(f"{glob.escape(output.stem)}__*.png")
        stale += [output.with_suffix(".csv"), *pictures]
    code = provenance.commit()  # before the run: what is edited meanwhile is not what ran
    began = time.time()
    record = {
        "status": UNFINISHED,
        "notebook": notebook.name,
        "parameters": given,
        "started": datetime.fromtimestamp(began, UTC).isoformat(timespec="seconds"),
        "error": f"still runs, or was killed, {place()}",
        "transient": True,
        **code,
    }
    files.write_text(file, json.dumps(record, indent=1) + "\n")
    for old in stale:
        old.unlink(missing_ok=True)
    prepare_environment()
    with slot():
        began, error, transient = time.time(), "", False
        try:
            given = checked(notebook, given)
            run_papermill(notebook, partial, given)
        except Exception as failure:  # whatever it is, the record says it and the exit code too
            error, transient = _one_line(failure), isinstance(failure, RuntimeError)
        seconds = time.time() - began
    record |= {
        "status": FAILED if error else DONE,
        "notebook_sha256": files.sha256_file(notebook) if notebook.is_file() else "",
        "parameters": given,
        "started": datetime.fromtimestamp(began, UTC).isoformat(timespec="seconds"),
        "duration_s": round(seconds, 2),
        "cpu_s": round(sum(os.times()[:4]) + forkserver.ForkedProcess.cpu_seconds, 2),
        "startup_s": _startup_seconds(partial, began),
        "error": error,
        "transient": transient,
        "versions": provenance.versions(),
    }
    if partial.is_file() or not error:
        partial.replace(output)
    files.write_text(file, json.dumps(record, indent=1) + "\n")
    return record


def _of_the_study(output: Path) -> bool:
    """Whether an absolute path is one of a study's cells, whose folder holds nothing else."""
    root = paths.results_root()
    return output.is_relative_to(root) and output.relative_to(root).parts[1:2] == ("cells",)


def check_output(notebook: Path, output: Path) -> None:
    """Raise a ValueError unless the executed notebook and its record can take their places.

    Raises:
        ValueError: `output` does not end in `.ipynb` or is the notebook itself; it or its record
            cannot be written, or stands where something is that is no earlier result.
    """
    if output.suffix != ".ipynb":
        raise ValueError(f"output {output} does not end in .ipynb")
    if output.exists() and output.samefile(notebook):
        raise ValueError(f"output {output} is the notebook itself; name another file")
    output = output.resolve()
    file = output.with_suffix(".json")

    def ours(path: Path) -> bool:
        known = "status" in _read_json(file) and "parameters" in _read_json(file)
        executed = path == file or "papermill" in _read_json(path).get("metadata", {})
        return _of_the_study(path) or known and executed

    files.check_output(output, ours, "an executed notebook")
    files.check_output(file, ours, "the record of an execution")


def _read_json(path: Path) -> dict[str, Any]:
    """A file's JSON object; {} where it holds none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def place() -> str:
    """Where this process runs: the machine, and the cluster's job."""
    job = os.environ.get("SLURM_JOB_ID")
    return f"on {platform.node()}" + (f" as job {job}" if job else "")


def _one_line(error: Exception) -> str:
    """Type, place (of a cell's own error) and message of an exception."""
    name, text = getattr(error, "ename", type(error).__name__), getattr(error, "evalue", error)
    where = f" in cell [{error.exec_count}]" if hasattr(error, "exec_count") else ""
    return " ".join(f"{name}{where}: {text}".split())


def line(record: dict[str, Any], paper: str) -> str:
    """One line on an execution: how it went, its seconds, its notebook and its parameters."""
    values = " ".join(f"{name}={value}" for name, value in record["parameters"].items())
    seconds = f"{record['duration_s']:6.1f} s" if "duration_s" in record else ""
    return f"{record['status']:6} {seconds}  {paper}/{Path(record['notebook']).stem}  {values}"


def run(
    notebook: Path, output: Path, given: dict[str, Any], attempt: int = 1, quiet: bool = False
) -> int:
    """Execute a notebook, say in a line how it went, and return 0 if it ran to its end, else 1.

    `given` holds parameters by name, as text or values. A second attempt is made only if the kernel
    had died, or the process was killed, at the first. With `quiet`, the record alone says how it
    went.

    Raises:
        ValueError: as in `check_output`; nothing has run or changed then.
    """
    check_output(notebook, output)
    file = output.with_suffix(".json")
    if attempt > 1 and file.is_file():
        first = json.loads(file.read_text("utf-8"))
        if first["status"] == FAILED and not first["transient"]:
            return 1  # the notebook itself raised: it would raise again
    record = execute(notebook, output, given)
    if not quiet:
        print(line(record, notebook.resolve().parent.name))
        if record["error"]:
            print(f"       {record['error']}  (see {file})", file=sys.stderr)
    return int(record["status"] == FAILED)
