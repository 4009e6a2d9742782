"""The HTML report: `adlib report` builds it from what lies in the results folder.

`assemble` reads the tree into data frames, `verdicts` puts the published values beside ours,
`tables` lays the rows out, `notebooks` renders executed notebooks, `pages` writes the site.
"""

import sys

# jsonschema, below nbformat, tries to load this URI checker, whose grammar takes two seconds to
# build; no notebook needs it, and jsonschema does without where it is missing
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
