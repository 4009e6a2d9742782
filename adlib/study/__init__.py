"""The study: papers, profiles, cells, runs, results, verdicts and the site made of them.

What notebooks call is at hand as `study.open`, `study.seen` and so on, see `NOTEBOOKS`; it is
imported when it is asked for, because the engine plans without torch.
"""

import sys
from importlib import import_module

NOTEBOOKS = {  # name -> module
    "open": "lab.opening",
    "trained": "lab.opening",
    "unlabelled": "lab.opening",
    "labelled": "lab.opening",
    "budgets": "lab.opening",
    "beside": "lab.published",
    "dots": "lab.published",
    "like": "lab.published",
    "examples": "lab.picking",
    "seen": "lab.seeing",
    "judge": "verdict.concluding",
}

# jsonschema, below nbformat, tries to load this checker of addresses, whose grammar takes two
# seconds to build. No notebook needs it, and jsonschema does without where it is missing.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]


def __getattr__(name: str) -> object:
    if name in NOTEBOOKS:
        return getattr(import_module(f"adlib.study.{NOTEBOOKS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
