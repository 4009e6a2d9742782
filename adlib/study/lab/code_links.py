"""Links of notebooks to the line of code where a name is defined.

A notebook says `` `name` in [models/x.py](../../adlib/models/x.py#L12) ``. Lines move whenever code
is edited, so `write` gives every link the line where its name stands now.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from adlib.host import files

LINK = re.compile(r"(`(?P<name>\w+)`\s+(?:in|of)\s+\[[^]]*\]\((?P<path>[^):#]+\.py))(?:#L\d+)?\)")


def write(notebooks: Path) -> list[Path]:
    """Give all links in `<paper>/<notebook>.ipynb` their lines; return the files that changed.

    Raises:
        ValueError: a linked file does not define the name; the message names both.
    """
    changed = []
    for notebook in sorted(notebooks.glob("*/*.ipynb")):
        text = notebook.read_text(encoding="utf-8")
        if (new := with_lines(text, notebook.parent)) != text:
            files.write_text(notebook, new)
            changed.append(notebook)
    return changed


def with_lines(text: str, folder: Path) -> str:
    """The same text with the right line in every link; paths are relative to `folder`.

    Raises:
        ValueError: as `write`.
        FileNotFoundError: a linked file is not there.
    """
    return LINK.sub(lambda link: f"{link[1]}#L{line(folder / link['path'], link['name'])})", text)


def line(file: Path, name: str) -> int:
    """Line on which a file of Python defines a name: a function, a class, a method or a constant.

    A name of the module is taken before one of a class in it, and the first before later ones.

    Raises:
        ValueError: none does; the message names both.
    """
    module = ast.parse(file.read_text(encoding="utf-8"))
    inside = (node for one in module.body if isinstance(one, ast.ClassDef) for node in one.body)
    for node in (*module.body, *inside):
        if name in _defined(node):
            return node.lineno
    raise ValueError(f"{file} defines no {name}")


def _defined(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        yield from (target.id for target in targets if isinstance(target, ast.Name))
