"""What a run is: everything its numbers depend on, and nothing else.

The code that counts is found from the definitions themselves: a class or function, whatever it
names, whatever that names, and so on through this package. Comments, docstrings, type hints of
functions, import lines and the names and places of modules are left out, so a definition may move
to another file and a run stays the run it was.
"""

import ast
import copy
import hashlib
import importlib.util
from collections.abc import Callable
from dataclasses import asdict
from functools import cache, lru_cache
from pathlib import Path

from adlib.data import ImageSet, Split
from adlib.models import training
from adlib.models.base import Detector
from adlib.models.training import Budget
from adlib.study import packs


def describe(detector: Detector, split: Split, budget: Budget, seed: int) -> dict[str, object]:
    """Everything a run's numbers depend on, ready for JSON."""
    return {
        "detector": type(detector).__name__,
        "settings": asdict(detector.settings),
        "dataset": split.images.name,
        "category": split.images.category,
        "images": _fingerprint(split.images),
        "protocol": split.protocol,
        "split": _lists(split),
        "seed": seed,
        "budget": _counted(budget),
        "code": code_fingerprint(type(detector), training.train, training.score_parts),
    }


def _counted(budget: Budget) -> dict[str, object]:
    """What of a budget changes numbers; `deterministic` only where it is set."""
    values = asdict(budget)
    left_out = {"snapshots"} | ({"deterministic"} if not budget.deterministic else set())
    return {name: value for name, value in values.items() if name not in left_out}


# Methods share images and splits, which may hold 70,000 paths.
_fingerprint = lru_cache(maxsize=4)(ImageSet.fingerprint)
_lists = lru_cache(maxsize=8)(lambda split: packs.digest(split.lists()))


def code_fingerprint(*roots: type | Callable) -> str:
    """Hash of the definitions of `roots` and of all that they use of their package."""
    texts: dict[tuple[str, str], list[str]] = {}
    waiting = [(root.__module__, root.__qualname__) for root in roots]
    while waiting:
        module, name = place = waiting.pop()
        if place not in texts:
            texts[place], used = _module(module).definition(name)
            waiting += filter(None, map(_module(module).resolve, used))
    lines = sorted(line for text in texts.values() for line in text)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


class _Module:
    """The definitions and imports of a source file."""

    def __init__(self, name: str, tree: ast.Module) -> None:
        self.name = name
        self.bound: dict[str, list[ast.stmt]] = {}
        self.imported: dict[str, tuple[str, str]] = {}  # name here -> (module, name there or "")
        self.known: dict[str, tuple[list[str], set[str]]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    path = alias.name if alias.asname else alias.name.partition(".")[0]
                    self.imported[alias.asname or path] = (path, "")
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    target = (inner, "") if _source(inner) else (node.module, alias.name)
                    self.imported[alias.asname or alias.name] = target
        for statement in tree.body:
            for bound in _binds(statement):
                self.bound.setdefault(bound, []).append(statement)

    def resolve(self, dotted: str) -> tuple[str, str] | None:
        """Where a name used here is defined in the package: module and name; None for others."""
        first, _, rest = dotted.partition(".")
        if first in self.bound:
            return self.name, first
        module, name = self.imported.get(first, ("", ""))
        name = name or rest.partition(".")[0]
        return _module(module).resolve(name) if name and _source(module) else None

    def definition(self, name: str) -> tuple[list[str], set[str]]:
        """Normal text of the statements that bind `name`, and the names that they use."""
        if name not in self.known:
            used = set().union(*map(_names, self.bound[name]))
            normal = map(_Normal(self.imported).visit, copy.deepcopy(self.bound[name]))
            self.known[name] = [ast.unparse(statement) for statement in normal], used
        return self.known[name]


def _binds(statement: ast.stmt) -> set[str]:
    """Names that a statement at the top of a module defines."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    names = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
    return {name.id for name in names if isinstance(name.ctx, ast.Store)}


def _names(node: ast.AST) -> set[str]:
    """Names that a node reads, annotations too, and pairs like `a.b`."""
    names = set()
    for child in ast.walk(node):
        if isinstance(child, ast.Name):
            names.add(child.id)
        elif isinstance(child, ast.Attribute) and isinstance(child.value, ast.Name):
            names.add(f"{child.value.id}.{child.attr}")
    return names


class _Normal(ast.NodeTransformer):
    """Take off what does not act, and call imported things by the name they were defined under."""

    def __init__(self, imported: dict[str, tuple[str, str]]) -> None:
        self.imported = imported

    def visit_ClassDef(self, node: ast.ClassDef | ast.FunctionDef) -> ast.AST:
        first = node.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):  # a docstring
            node.body = node.body[1:]
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.visit_ClassDef(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_Import(self, node: ast.Import) -> None:
        return None

    visit_ImportFrom = visit_Import

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.value, ast.Name):
            module, name = self.imported.get(node.value.id, ("", ""))
            if module and not name and _source(module):
                return ast.Name(node.attr, node.ctx)  # a module of the package, whatever its name
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        module, name = self.imported.get(node.id, ("", ""))
        return ast.Name(name or module, node.ctx) if module else node


@cache
def _source(module: str) -> Path | None:
    """File of a module of this package; None for everything else."""
    if module.partition(".")[0] != __package__.partition(".")[0]:
        return None
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec and spec.origin else None


@cache
def _module(name: str) -> _Module:
    return _Module(name, ast.parse(_source(name).read_text(encoding="utf-8")))
