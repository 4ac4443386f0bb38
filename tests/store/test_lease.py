"""One of many has the lease; who is dead, cut off or paused loses it, and notices before the next write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import pytest

from twofold.errors import DatabaseUnreachable, ProjectLocked
from twofold.store import lease as leases
from twofold.store.lease import Lease, holder_of, lease_of

_PLACES = count()


@dataclass
class Memory:
    """A register in memory whose clock the test sets."""

    place: str = field(default_factory=lambda: f"memory {next(_PLACES)}")
    text: str = ""
    tag: str = ""
    seconds: float = 0.0
    loses: bool = False
    down: bool = False
    numbers: count[int] = field(default_factory=count)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self) -> tuple[str, str] | None:
        return (self.text, self.tag) if self.tag else None

    def write(self, text: str, *, instead_of: str | None) -> str | None:
        if self.down:
            raise DatabaseUnreachable("nobody answers")
        with self.lock:
            if (instead_of or "") != self.tag:
                return None
            self.text, self.tag, self.seconds = text, f"t{next(self.numbers)}", 0.0
        # The write has arrived, its answer is lost, and the client's second try finds another tag.
        return None if self.loses else self.tag

    def age(self) -> float:
        return self.seconds

    def elsewhere(self) -> None:
        """Let the present holder be a process of another machine."""
        self.text = json.dumps({**json.loads(self.text), "machine": "another/1", "host": "node-7"})


@pytest.fixture
def other_process(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Forget the leases of this process, as if they were another's."""
    return lambda: monkeypatch.setattr(leases, "_LEASES", {})


def test_a_second_writer_is_told_who_writes_where_and_since_when(other_process: Callable[[], None]) -> None:
    register = Memory()
    with Lease(register):
        with pytest.raises(ProjectLocked, match=f"process {os.getpid()} on "):
            Lease(register).__enter__()
        register.elsewhere()
        other_process()
        with pytest.raises(ProjectLocked, match=rf"process {os.getpid()} on node-7 \(.*since 20\d\d-.*\) is writing"):
            Lease(register).__enter__()
        assert "node-7" in holder_of(register)


def test_what_was_given_back_is_taken_at_once_and_counted() -> None:
    register, fenced = Memory(), list[int]()
    for number in (1, 2, 3):
        with Lease(register, fence=lambda: fenced.append(1)) as lease:
            assert lease.token == number
            assert lease_of(register.place) is lease
            lease.check()
        assert lease_of(register.place) is None
        assert holder_of(register) == ""
    assert not fenced


def test_of_many_that_want_it_one_gets_it() -> None:
    register, results = Memory(), list[object]()
    barrier = threading.Barrier(8)

    def want() -> None:
        barrier.wait()
        try:
            results.append(Lease(register).__enter__())
        except ProjectLocked as error:
            results.append(error)

    threads = [threading.Thread(target=want) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [result for result in results if isinstance(result, Lease)]
    assert len(results) == 8
    assert len(winners) == 1
    winners[0].__exit__(None, None, None)


def test_a_lease_that_ended_is_taken_after_a_fence_and_its_holder_is_refused(
    other_process: Callable[[], None],
) -> None:
    register, fenced = Memory(), list[int]()
    paused = Lease(register, life=1000).__enter__()
    register.elsewhere()
    other_process()
    register.seconds = 1002.0
    with pytest.raises(ProjectLocked):  # a store's times are whole seconds
        Lease(register).__enter__()
    register.seconds = 1004.0
    with Lease(register, fence=lambda: fenced.append(1)) as lease:
        assert fenced == [1]
        assert lease.token == 2
        with pytest.raises(ProjectLocked, match="took the writer's lease while this process did not renew it"):
            paused.check(left=2000)
        with pytest.raises(ProjectLocked):  # once lost, it stays lost
            paused.check()
        paused.__exit__(None, None, None)
        assert json.loads(register.text)["returned"] is False, "who lost it must not give the other's back"
        lease.check()


def test_a_fence_that_fails_is_made_by_the_next(other_process: Callable[[], None]) -> None:
    register, fenced = Memory(), list[int]()
    Lease(register).__enter__()
    other_process()
    register.elsewhere()
    register.seconds = 1e6

    def fail() -> None:
        raise DatabaseUnreachable("nobody answers")

    with pytest.raises(DatabaseUnreachable):
        Lease(register, fence=fail).__enter__()
    register.seconds = 1e6
    with Lease(register, fence=lambda: fenced.append(1)):
        assert fenced == [1]


def test_a_lost_answer_is_no_lost_lease() -> None:
    register = Memory()
    with Lease(register) as lease:
        register.loses = True
        lease.check(left=1e6)
        register.loses = False
        lease.check(left=0)


def test_a_holder_without_its_store_writes_until_its_time_is_up() -> None:
    register = Memory()
    with Lease(register) as lease:
        register.down = True
        lease.check()
        with pytest.raises(DatabaseUnreachable):
            lease.check(left=1e6)
        register.down = False
        lease.check(left=1.0)


def test_of_a_dead_process_of_this_machine_nobody_waits(other_process: Callable[[], None]) -> None:
    register = Memory()
    Lease(register).__enter__()
    other_process()
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pass
    register.text = json.dumps({**json.loads(register.text), "process": child.pid})
    assert holder_of(register) == ""
    with Lease(register) as lease:
        assert lease.token == 2


def test_it_is_renewed_while_it_is_used() -> None:
    register = Memory()
    with Lease(register, life=0.2) as lease:
        before, pause = register.tag, threading.Event()
        pause.wait(0.5)
        assert register.tag != before
        lease.check()


def test_a_forked_process_has_not_its_parents_lease() -> None:
    register = Memory()
    with Lease(register) as lease:
        if (child := os.fork()) == 0:
            os._exit(0 if lease_of(register.place) is None and not lease.alive else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
