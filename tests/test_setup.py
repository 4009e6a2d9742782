"""The ways to install agree, on versions and on Python."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

HOME = Path(__file__).resolve().parents[1]
SETUP = tomllib.loads((HOME / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = SETUP["project"]
PYTHONS = ("3.11.0", "3.11.13", "3.12.0", "3.13.0")


def lines():
    """Entries of requirements.txt: continued lines joined, comments left out."""
    text = (HOME / "requirements.txt").read_text(encoding="utf-8").replace("\\\n", "")
    return [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]


def pinned():
    """Requirement by name, as requirements.txt lists them."""
    found = [Requirement(line.partition(" --hash")[0]) for line in lines()]
    assert len({r.name for r in found}) == len(found), "a package is listed twice"
    return {r.name: r for r in found}


def wanted():
    """Requirements of pyproject.toml, with all extras."""
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(r) for group in (PROJECT["dependencies"], *extras) for r in group]


def test_requirements_are_exact():
    """Catches a pin that leaves the version open, or names a place to install from."""
    for requirement in pinned().values():
        assert re.fullmatch(r"==[\w.]+", str(requirement.specifier)), requirement
        assert requirement.url is None, requirement
    assert "://" not in (HOME / "requirements.txt").read_text(encoding="utf-8")


def test_every_pin_has_hashes():
    """Catches a pin that pip would install, or refuse, without knowing what its files hash to."""
    for line in lines():
        _, *hashes = line.split(" --hash=")
        assert hashes and len(set(hashes)) == len(hashes), line[:80]
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}\s*", text) for text in hashes), line[:80]


def test_every_install_checks_the_hashes():
    """Catches a way to install that takes files unchecked, of a package or of what builds ours."""
    texts = [makefile(), (HOME / "adlib" / "study" / "README.md").read_text(encoding="utf-8")]
    commands = [found for text in texts for found in re.findall(r"-m pip install .*", text)]
    assert len(commands) == 4
    for command in commands:
        checked = "--require-hashes -r requirements.txt" in command
        assert checked or "--no-deps --no-build-isolation -e ." in command, command
    (backend,) = SETUP["build-system"]["requires"]
    assert next(iter(pinned()["setuptools"].specifier)).version in Requirement(backend).specifier


@pytest.mark.parametrize("system", ["linux", "darwin", "win32"])
def test_each_system_gets_its_own(system):
    """Catches a pin that a system does not have, and GPU libraries that Linux takes unchecked."""
    here = {"sys_platform": system, "os_name": "nt" if system == "win32" else "posix"}
    there = {name for name, r in pinned().items() if not r.marker or r.marker.evaluate(here)}
    gpu = {name for name in pinned() if re.match("nvidia|cuda|triton", name)}
    assert len(gpu) > 10 and there & gpu == (gpu if system == "linux" else set())
    own = {
        "linux": {"pexpect"},
        "darwin": {"pexpect", "appnope"},
        "win32": {"colorama", "pywinpty"},
    }
    assert there & set.union(*own.values()) == own[system]


@pytest.mark.parametrize("requirement", wanted(), ids=lambda r: r.name)
def test_ranges_hold_the_pins(requirement):
    """Catches an upgrade of one file that the other does not allow, and a range without an end."""
    pin = next(iter(pinned()[requirement.name].specifier)).version
    assert pin in requirement.specifier
    assert {">=", "<"} == {s.operator for s in requirement.specifier}


def test_conda_installs_the_same_versions():
    """Catches versions that are written into environment.yml and go their own way."""
    environment = yaml.safe_load((HOME / "environment.yml").read_text(encoding="utf-8"))
    *conda, pip = environment["dependencies"]
    assert pip == {"pip": ["-r requirements.txt"]}
    assert [Requirement(text).name for text in conda] == ["python", "pip"]
    python = Requirement(conda[0]).specifier
    assert python == SpecifierSet(PROJECT["requires-python"])


@pytest.mark.parametrize("version", [*PYTHONS, "3.10.14", "3.14.0"])
def test_python_versions(version):
    """Catches a Python that the package, or the Makefile, takes or refuses by mistake."""
    assert (version in SpecifierSet(PROJECT["requires-python"])) == (version in PYTHONS)
    check = re.search(r'-c "(import sys; v = .*?)"$', makefile(), re.M).group(1)
    numbers = tuple(map(int, version.split(".")))
    check = check.replace("sys.version_info", str(numbers))
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert (done.returncode == 0) == (version in PYTHONS)
    assert bool(re.search("needs Python 3.11, 3.12 or 3.13", done.stderr)) != (version in PYTHONS)


def makefile():
    """Text of the Makefile with continued lines joined."""
    text = (HOME / "Makefile").read_text(encoding="utf-8")
    return re.sub(r"\\\n\s*", "", text)


def test_no_heavy_import_in_the_engine():
    """Catches torch, or papermill, being loaded by every process that only plans or checks."""
    code = "import sys, adlib.study.engine.execute, adlib.study.profiles; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "papermill"} & set(done.stdout.split())
