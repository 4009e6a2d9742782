"""`python -m adlib` is the console script `adlib`."""

import sys

from adlib.cli import main

sys.exit(main())
