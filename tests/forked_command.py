"""``python -IS forked_command.py ADDRESS words``: ``twofold`` with these words, forked, in a fraction of its time.

For what starts programs itself, such as a client of the Model Context Protocol. It imports nothing of the tests, and
stands for the command's process: which has its input and output and gets its signals, and whose status is its own.
``ADDRESS -u -c CODE`` runs code, as pytest-xdist has an interpreter start its processes.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys

CODE = "import sys; from twofold.cli.main import main; sys.exit(main())"


def main() -> int:
    """Have the nursery at the address run the command with these streams, and wait for it."""
    address, *words = sys.argv[1:]
    code, words = (words[2], words[3:]) if words[:2] == ["-u", "-c"] else (CODE, words)
    job = {"code": code, "argv": words, "environment": dict(os.environ), "directory": os.getcwd()}
    status, tell = os.pipe()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as nursery:
        nursery.connect(address)
        socket.send_fds(nursery, [json.dumps(job).encode()], [0, 1, 2, tell])
        os.close(tell)
        number = int(os.read(status, 16))
    signal.signal(signal.SIGTERM, lambda *_: os.kill(number, signal.SIGTERM))
    # Whoever reads or writes at the other end is to notice when the command closes its streams.
    for stream in (0, 1):
        os.close(stream)
    return int(os.read(status, 16))


if __name__ == "__main__":
    sys.exit(main())
