"""With the models pulled, everything runs with every socket blocked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twofold.models import hub
from twofold.project import Project

BLOCKED = """
import socket, sys
from pathlib import Path

def refuse(*_args, **_more):
    raise OSError("a socket was opened")

class Refused(socket.socket):
    def __init__(self, family=socket.AF_INET, *args, **more):
        if family != socket.AF_UNIX:
            refuse()
        super().__init__(family, *args, **more)
    connect = connect_ex = bind = refuse

socket.socket = Refused
socket.create_connection = socket.getaddrinfo = socket.gethostbyname = refuse

from twofold.project import Project

with Project.open(Path(sys.argv[1])) as project:
    project.sync()
    answer, told = project.ask(sys.argv[2], arm="rag")
    assert answer.failure is None and answer.hits, answer
    print(answer.text)
try:
    socket.create_connection(("127.0.0.1", 9))
except OSError as error:
    assert "a socket was opened" in str(error)
else:
    raise SystemExit("the block does not block")
"""


def test_sync_and_ask_with_every_socket_blocked(tmp_path: Path, folder: Path) -> None:
    for name in hub.usual():
        hub.pull(name)
    Project.create(tmp_path / "project", folder).close()
    question = "what can help guide early season irrigation decisions?"
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, str(tmp_path / "project"), question],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
