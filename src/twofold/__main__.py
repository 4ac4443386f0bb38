"""``python -m twofold``: the command line."""

from __future__ import annotations

import sys

from twofold.cli.main import main

sys.exit(main())
