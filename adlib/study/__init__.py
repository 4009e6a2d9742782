"""The study: papers, profiles, cells, runs, results, verdicts and the site made of them."""

import sys

# jsonschema, below nbformat, tries to load this checker of addresses, whose grammar takes two
# seconds to build. No notebook needs it, and jsonschema does without where it is missing.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
