"""`twofold`: the entry point, which can be stopped before the commands are loaded.

Results go to stdout, everything else to stderr. Exit codes: 0 done; 1 a check or study finished and found failures;
2 wrong use; 3 a model, index, training or store error; 4 what was to be shown cannot be told from the questions
(`compare`); 70 a fault of Twofold's own; 130 stopped by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

from twofold.cli.stopping import INTERRUPTED, stoppable


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. The `twofold` script exits with it."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Read from the raw words: a usage error is raised before any option is parsed, and is printed as JSON too.
    as_json = "--json" in words
    verbose = bool({"--verbose", "-v"} & set(words))
    # A pipe or file gets UTF-8 whatever the locale; a terminal keeps its own, with marks for what it cannot show.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower() != "utf-8":
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="replace")
    with stoppable(as_json=as_json, ends_process=arguments is None) as stop:
        try:
            from twofold.cli import commands  # here: loading takes half a second, in which Ctrl-C has to work as well

            code = commands.run(words, as_json=as_json, verbose=verbose)
        except KeyboardInterrupt:
            code = INTERRUPTED
        if code == INTERRUPTED:  # Typer turns Ctrl-C into this code
            code = stop.code
            stop.say()
    return code
