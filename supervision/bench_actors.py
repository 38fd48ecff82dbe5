"""How fast actors talk: LoopBase against Pykka and the stock `multiprocTCPBase`, in one run, interleaved, medians.

Measures messages between two actors of each; does not measure the desk (that is `bench_desk.py`).
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

from thespian.actors import Actor, ActorAddress, ActorSystem

from adapters.clock import SystemClock
from adapters.free_ports import free_port
from supervision.bases.loop import LoopBase
from supervision.outer import start_system

ROOT = Path(__file__).resolve().parent.parent
PAYLOAD = "x" * 300  # about the size of a book update
_ANSWER = timedelta(seconds=30)
_CHILD_S = 120

_clock = SystemClock()


class Sink(Actor):
    """Counts, and tells whoever asked once it has as many as it was told to expect."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 0
        self.asker: ActorAddress | None = None

    def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:  # noqa: N802 - Thespian's name
        """One message less to wait for."""
        kind = type(msg)
        if kind is str:
            self.left -= 1
            if self.left == 0 and self.asker is not None:
                self.send(self.asker, self.left)
        elif kind is tuple:
            self.left, self.asker = msg[0], msg[1]
            self.send(sender, "ready")


class Source(Actor):
    """Sends a burst to a sink, or starts a volley of round trips, and reports to whoever asked when it is over."""

    def __init__(self) -> None:
        super().__init__()
        self.asker: ActorAddress | None = None
        self.peer: ActorAddress | None = None
        self.count = 0

    def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:  # noqa: N802 - Thespian's name
        """Burst, volley, or one return of a volley."""
        kind = type(msg)
        if kind is str:
            if msg == "ready":
                for _ in range(self.count):
                    self.send(sender, PAYLOAD)
                return
            self.count -= 1
            if self.count:
                self.send(sender, PAYLOAD)
            elif self.asker is not None:
                self.send(self.asker, 0)
        elif kind is tuple:
            what, peer, self.count = msg
            self.asker = sender
            self.send(peer, (self.count, sender) if what == "burst" else PAYLOAD)


class Echo(Actor):
    """Sends back what it gets."""

    def receiveMessage(self, msg: Any, sender: ActorAddress) -> None:  # noqa: N802 - Thespian's name
        """Back to the sender."""
        if type(msg) is str:
            self.send(sender, msg)


class _LoopBaseRun:
    """The actors of the bench on a LoopBase; every figure is in messages and nanoseconds."""

    def __init__(self) -> None:
        self.base = LoopBase.standalone(name="bench", clock=_clock)
        self.source, self.sink, self.echo = (self.base.create_root(kind) for kind in (Source, Sink, Echo))

    def one_way(self, count: int) -> float:
        """Messages per second from one actor to another, in bursts of 1,000."""
        began_ns = _clock.mono_ns()
        for _ in range(count // 1_000):
            self.base.inject(self.source, ("burst", self.sink, 1_000))
            self.base.run_until_idle()
        return count / (_clock.mono_ns() - began_ns) * 1e9

    def round_trip_us(self, count: int) -> float:
        """Microseconds from a send to the answer's arrival."""
        began_ns = _clock.mono_ns()
        self.base.inject(self.source, ("volley", self.echo, count))
        self.base.run_until_idle()
        return (_clock.mono_ns() - began_ns) / count / 1_000


def _pykka_tell(count: int) -> float | None:
    """Messages per second of Pykka's `tell` from outside until the actor has handled all; None without Pykka."""
    try:
        import pykka  # noqa: PLC0415 - a peer of the bench, installed for development only
    except ImportError:
        return None
    done = threading.Event()

    class Counter(pykka.ThreadingActor):
        def __init__(self) -> None:
            super().__init__()
            self.left = count

        def on_receive(self, _message: Any) -> None:
            self.left -= 1
            if not self.left:
                done.set()

    actor = Counter.start()
    try:
        began_ns = _clock.mono_ns()
        tell = actor.tell
        for _ in range(count):
            tell(PAYLOAD)
        done.wait()
        return count / (_clock.mono_ns() - began_ns) * 1e9
    finally:
        actor.stop()


def multiproc(one_way: int, round_trips: int, repeats: int) -> None:
    """The same actors on `multiprocTCPBase`; to be run in a process of its own, driven by lines on stdin.

    Every line read measures once and prints one JSON object; the end of stdin shuts the system down.
    """
    system: ActorSystem = start_system(free_port(), level="ERROR")
    try:
        source, sink, echo = (system.createActor(kind) for kind in (Source, Sink, Echo))
        for actor, count in ((echo, 5), (sink, 5)):  # connections are made before anything is measured
            system.ask(source, ("volley" if actor is echo else "burst", actor, count), _ANSWER)
        for line, _ in zip(sys.stdin, range(repeats), strict=False):
            if not line.strip():
                break
            began_ns = _clock.mono_ns()
            if system.ask(source, ("burst", sink, one_way), _ANSWER) is None:
                raise TimeoutError("the burst did not arrive")
            one_way_msg_s = one_way / (_clock.mono_ns() - began_ns) * 1e9
            began_ns = _clock.mono_ns()
            if system.ask(source, ("volley", echo, round_trips), _ANSWER) is None:
                raise TimeoutError("the volley did not return")
            round_trip_us = (_clock.mono_ns() - began_ns) / round_trips / 1_000
            sys.stdout.write(json.dumps([one_way_msg_s, round_trip_us]) + "\n")
            sys.stdout.flush()
    finally:
        system.shutdown()


class _MultiprocRun:
    """The stock base in a session of its own, so that nothing of it can be left behind."""

    def __init__(self, one_way: int, round_trips: int, repeats: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "supervision.bench_actors", str(one_way), str(round_trips), str(repeats)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )

    def measure(self) -> tuple[float, float]:
        """One-way messages per second and round trip in microseconds."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        one_way_msg_s, round_trip_us = json.loads(self.process.stdout.readline())
        return one_way_msg_s, round_trip_us

    def close(self) -> None:
        """Shut down; kill the whole session if it does not."""
        try:
            self.process.communicate(timeout=_CHILD_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def run(quick: bool) -> dict[str, Any]:
    """Measure everything once around per repeat, so that a noisy neighbour disturbs all alike.

    Returns:
        Medians, spreads, and the ratios ``loop_vs_multiproc`` and ``loop_vs_pykka_tell``.
    """
    repeats = 3 if quick else 9
    one_way, round_trips, tells = (50_000, 20_000, 20_000) if quick else (300_000, 100_000, 100_000)
    slow_one_way, slow_round_trips = (100, 50) if quick else (300, 200)
    loop = _LoopBaseRun()
    stock = _MultiprocRun(slow_one_way, slow_round_trips, repeats)
    samples: dict[str, list[float]] = {
        name: []
        for name in (
            "loop_one_way_msg_s",
            "loop_round_trip_us",
            "pykka_tell_msg_s",
            "multiproc_one_way_msg_s",
            "multiproc_round_trip_us",
        )
    }
    try:
        for _ in range(repeats):
            samples["loop_one_way_msg_s"].append(loop.one_way(one_way))
            samples["loop_round_trip_us"].append(loop.round_trip_us(round_trips))
            told = _pykka_tell(tells)
            if told is not None:
                samples["pykka_tell_msg_s"].append(told)
            stock_one_way, stock_round_trip = stock.measure()
            samples["multiproc_one_way_msg_s"].append(stock_one_way)
            samples["multiproc_round_trip_us"].append(stock_round_trip)
    finally:
        loop.base.shutdown()
        stock.close()
    return _summary(samples, repeats)


def _summary(samples: dict[str, list[float]], repeats: int) -> dict[str, Any]:
    medians = {name: statistics.median(values) for name, values in samples.items() if values}
    loop_msg_s = medians["loop_one_way_msg_s"]
    vs_multiproc = loop_msg_s / medians["multiproc_one_way_msg_s"]
    vs_pykka = loop_msg_s / medians["pykka_tell_msg_s"] if "pykka_tell_msg_s" in medians else None
    return {
        "repeats": repeats,
        "payload_bytes": len(PAYLOAD),
        **{name: round(value, 2) for name, value in medians.items()},
        "min_max": {name: [round(min(values), 2), round(max(values), 2)] for name, values in samples.items() if values},
        "loop_vs_multiproc": round(vs_multiproc, 1),
        "loop_vs_multiproc_round_trip": round(medians["multiproc_round_trip_us"] / medians["loop_round_trip_us"], 1),
        "loop_vs_pykka_tell": vs_pykka and round(vs_pykka, 2),
    }


if __name__ == "__main__":
    multiproc(*(int(argument) for argument in sys.argv[1:4]))
