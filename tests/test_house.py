"""The house: whatever is below never imports what is above, and nothing goes in a circle."""

import ast
from pathlib import Path

import pytest

HOME = Path(__file__).resolve().parents[1]
# What each room may import; `cli.py` and `__main__.py` are the doors and may import all.
BELOW = {
    "host": set(),
    "metrics": set(),
    "data": {"host"},
    "networks": {"host"},
    "models": {"host", "data", "networks"},
    "plots": {"metrics", "models"},
    "study": {"host", "metrics", "data", "networks", "models", "plots"},
    "deploy": {"host", "metrics", "data", "networks", "models", "plots"},
}

# What each room of the study may import of the others; what lies in none is open to all.
OF_STUDY = {
    "engine": set(),
    "verdict": {"engine"},
    "lab": {"engine", "verdict"},
    "beyond": {"engine", "verdict", "lab"},
    "site": {"engine", "verdict", "lab", "beyond"},
}


def modules():
    """{dotted name: path} of all modules of the package."""
    files = sorted((HOME / "adlib").rglob("*.py"))
    names = (".".join(f.relative_to(HOME).with_suffix("").parts) for f in files)
    return {name.removesuffix(".__init__"): file for name, file in zip(names, files, strict=True)}


def imports(source, known):
    """Modules of `known` that a source imports, inside functions too; not those for annotations."""
    tree = ast.parse(source)
    for_annotations = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in for_annotations:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inner & known) or {node.module}
    return found & known


@pytest.fixture(scope="module")
def arrows():
    """{module: modules it imports}; a package's own `__init__` imports its rooms, no other does."""
    known = modules()
    return {
        name: imports(file.read_text(encoding="utf-8"), set(known)) for name, file in known.items()
    }


def test_the_reader_of_imports_sees_them_all():
    """Would catch a test that passes because it sees nothing."""
    source = (
        "import adlib.a\nfrom adlib import b\nfrom adlib.c import thing\n"
        "def f():\n    from adlib.d import e\n"
        "if TYPE_CHECKING:\n    from adlib import g\n"
    )
    known = {f"adlib.{name}" for name in ("a", "b", "c", "d.e", "g")}
    assert imports(source, known) == known - {"adlib.g"}


def test_every_arrow_goes_down(arrows):
    """Would catch a library that knows the study, and a network that knows a detector."""
    wrong = [
        f"{name} imports {other}"
        for name, others in arrows.items()
        for other in others
        if (room := name.split(".")[1:2]) and room[0] in BELOW and other.split(".")[1] != room[0]
        if other.split(".")[1] not in BELOW[room[0]]
    ]
    assert wrong == []
    rooms = {name.split(".")[1] for name in arrows if "." in name}
    assert rooms == {*BELOW, "cli", "__main__"}


def test_arrows_of_the_study_go_down_too(arrows):
    """Would catch a verdict that needs a notebook, or a notebook that needs the site."""
    up = [
        (name, other)
        for name, others in arrows.items()
        for other in others
        if (room := (name.split(".") + [""])[2]) in OF_STUDY and name.startswith("adlib.study.")
        if other.startswith("adlib.study.") and other.split(".")[2] in OF_STUDY.keys() - {room}
        if other.split(".")[2] not in OF_STUDY[room]
    ]
    assert not up


def test_no_circles(arrows):
    """Would catch two modules that need each other, also where one imports in a function."""
    finished, path = set(), []

    def visit(name):
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in finished:
            path.append(name)
            for other in sorted(arrows[name]):
                visit(other)
            finished.add(path.pop())

    for name in arrows:
        visit(name)


def test_tests_mirror_the_rooms():
    """Would catch a test file in a folder where nobody looks; `gpu` is for such a machine."""
    tests = HOME / "tests"
    folders = {path.parent.relative_to(tests) for path in tests.rglob("test_*.py")}
    missing = {folder for folder in folders if not (HOME / "adlib" / folder).is_dir()}
    assert missing <= {Path("gpu")}
