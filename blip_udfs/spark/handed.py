"""A model that a worker has loaded -> its daemon, which loads it too: workers that it forks later have it at birth."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from blip_udfs.blip.family import Model

LONGEST = 1 << 16  # bytes of a message

_settled: WeakSet[Model] = WeakSet()
_daemon: tuple[int, socket.socket] | None = None  # of a worker: its daemon's process, and where that one listens
_is_taking = False  # of the daemon


def settle(model: Model) -> bool:
    """Whether this process had it not yet. Spark's daemon collects garbage after each task; walking all that torch and
    a model bring took 0.1 s of it."""
    if model in _settled:
        return False
    _settled.add(model)
    gc.collect()
    gc.freeze()
    return True


def hand(name: str, folder: str, model: Model) -> None:
    """Tells the daemon, if it is ours, of a model on the CPU. A GPU's memory is no forked process's, and what
    OpenVINO compiles is its threads': of that the daemon has the weights."""
    if _daemon is None or model.device.type != "cpu" or os.getppid() != _daemon[0]:
        return
    message = json.dumps([name, folder, str(model.dtype).removeprefix("torch.")]).encode()
    with contextlib.suppress(OSError):  # its queue is full of others' messages: a later worker's comes through
        _daemon[1].send(message)
        os.kill(_daemon[0], signal.SIGUSR1)


def listen(take: Callable[[str, str, str], None]) -> None:
    """Makes this process the daemon: `take` is called with name, folder and number type of what its workers hand."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for end in (here, there):
        end.setblocking(False)
    own = os.getpid()

    def of_worker() -> None:
        global _daemon
        if os.getppid() == own:  # else a process that a worker has forked
            signal.signal(signal.SIGUSR1, signal.SIG_DFL)
            here.close()
            _daemon = (own, there)

    os.register_at_fork(after_in_child=of_worker)
    signal.signal(signal.SIGUSR1, lambda *_: receive(here, take))


def receive(end: socket.socket, take: Callable[[str, str, str], None]) -> None:
    """Takes all that has come. A signal while one is taken returns at once: the loop that it interrupts goes on."""
    global _is_taking
    if _is_taking:
        return
    _is_taking = True
    try:
        while True:
            take(*json.loads(end.recv(LONGEST)))
    except BlockingIOError:  # no more
        pass
    finally:
        _is_taking = False
