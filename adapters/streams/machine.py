"""What a connection does next: a pure machine over `adapters.streams.state`.

Liveness is the age of data per topic; pongs only tell a connection that nobody speaks on from one that is gone. A topic
that is silent, or was not granted in time, is asked for once more on the same socket. After that the connection is
replaced: at once when nothing on it speaks, else by rotation, so that its other topics go on. Every replacement beyond
the first is as far from the last as a jittered backoff says.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from adapters.streams import state as s
from adapters.streams.state import Effect, Event, News, Phase, SocketState, State, Status, TopicState, Turn
from adapters.streams.topic_rules import TopicRules, mute_after_ns
from adapters.streams.topics import Pulse

SERVICE_RESTART = 1012
_DOWN_STATUS = frozenset({502, 503, 504})
_NO_PULSES: Mapping[str, Pulse] = {}


def decide(state: State, event: Event, now_ns: int) -> tuple[State, list[Effect]]:
    """The next state and what has to be done. ``now_ns`` is monotonic. Raises `ImpossibleTurnError` for a bug only."""
    step = _Decision(state, now_ns)
    if state.status is Status.CLOSED:
        if isinstance(event, s.Opened):
            step.do(s.CloseSocket(event.number, "closed"))
    else:
        step.take(event)
    return step.done()


class _Decision(TopicRules):
    """The rules of connections."""

    # --- Events -----------------------------------------------------------------------------------

    def take(self, event: Event) -> None:
        match event:
            case s.Started():
                if self.status is Status.IDLE:
                    self.move(Turn.STARTED)
                    self.open_main()
            case s.Stopped():
                self.stop()
            case s.Opened():
                self.opened(event.number)
            case s.OpenFailed():
                self.open_failed(event)
            case s.OpenDeferred():
                self.deferred(event)
            case s.SocketLost():
                self.socket_lost(event)
            case s.Granted():
                self.granted(event)
            case s.Asked():
                self.asked(event)
            case s.Refused():
                self.refused(event)
            case s.ResetAnnounced():
                if self.main is not None and self.main.number == event.number and self.main.opened_ns:
                    self.rotate(event.reason)
            case s.MaintenanceAnnounced():
                if event.until_ns > self.get("maintenance_until_ns"):
                    self.changed["maintenance_until_ns"] = event.until_ns
            case s.Renewed():
                self.renewed(event.key)
            case s.Ticked():
                self.ticked(event)
        if self.status is not self.before.status or self.main is not self.before.main:
            self.settle()

    def stop(self) -> None:
        for socket in (self.main, self.spare):
            if socket is not None:
                self.do(s.CloseSocket(socket.number, "closed"))
        self.main = self.spare = None
        self.move(Turn.STOPPED, "closed by us")

    def open_main(self) -> None:
        self.main = self.new_socket()

    # --- Opening ----------------------------------------------------------------------------------

    def opened(self, number: int) -> None:
        socket = self.socket_of(number)
        if socket is None:
            self.do(s.CloseSocket(number, "not wanted any more"))
            return
        if socket.opened_ns:
            return
        asked = TopicState(Phase.ASKED, self.now)
        self.put(
            msgspec.structs.replace(
                socket, opened_ns=self.now, pinged_ns=self.now, topics=dict.fromkeys(self.specs, asked)
            )
        )
        self.count("connects")
        self.do(s.Subscribe(number, tuple(self.specs)))
        if self.is_main(number):
            self.move(Turn.OPENED, "asking for its topics")
            self.changed["rotate_ns"] = self.now + self.life()
            self.changed["rotate_reason"] = "the venue's time limit comes near"
            self.tell(News.CONNECTED)
            self.do(s.TakeOver(number, 0, joined=False))

    def life(self) -> int:
        return self.rules.life_ns - self.roll(0, self.rules.life_ns // 50)

    def open_failed(self, event: s.OpenFailed) -> None:
        if self.spare is not None and self.spare.number == event.number:
            self.rotation_failed(event.reason, event.retry_after_ns)
        elif self.is_main(event.number):
            down = event.http_status in _DOWN_STATUS
            self.lose_main(event.reason, down=down, least_ns=event.retry_after_ns)

    def deferred(self, event: s.OpenDeferred) -> None:
        reason = "the process's connection budget is spent"
        if self.spare is not None and self.spare.number == event.number:
            self.rotation_failed(reason, event.wait_ns)
        elif self.is_main(event.number):
            self.main = None
            self.move(Turn.DEFERRED, reason)
            # A wait that others share ends for all at the same moment: they come back one after another.
            self.changed["due_ns"] = self.now + event.wait_ns + self.roll(0, self.rules.jitter_min_ns)

    # --- Losing -----------------------------------------------------------------------------------

    def socket_lost(self, event: s.SocketLost) -> None:
        if self.spare is not None and self.spare.number == event.number:
            self.rotation_failed(event.reason, 0)
        elif self.is_main(event.number):
            self.lose_main(event.reason, down=event.code == SERVICE_RESTART)

    def lose_main(self, reason: str, *, down: bool = False, at_once: bool = False, least_ns: int = 0) -> None:
        main = self.main
        assert main is not None
        self.do(s.CloseSocket(main.number, reason))
        if main.opened_ns:
            self.count("disconnects")
            self.tell(News.DISCONNECTED, reason=reason)
        self.main = None
        self.end_calm()
        if self.spare is not None:
            self.promote(reason)
        elif down or self.in_maintenance or self.now < self.get("maintenance_until_ns"):
            self.venue_down(reason, least_ns)
        elif at_once and not self.get("attempt"):
            self.changed["attempt"] = 1
            self.move(Turn.REPLACED, reason)
            self.open_main()
        else:
            self.move(Turn.LOST, reason)
            self.wait(self.rules.backoff_max_ns, least_ns)

    @property
    def in_maintenance(self) -> bool:
        return bool(self.changed.get("in_maintenance", self.before.in_maintenance))

    def end_calm(self) -> None:
        """All was well until now: when it was for long enough, what comes is the first trouble and not the next."""
        live_since = self.get("live_since_ns")
        if live_since and self.now - live_since >= self.rules.stable_ns:
            self.changed.update(attempt=0, replace_attempt=0, replace_ns=0)
        self.changed["live_since_ns"] = 0

    def wait(self, cap: int, least_ns: int) -> None:
        attempt = self.get("attempt")
        self.changed["attempt"] = attempt + 1
        self.changed["due_ns"] = self.now + max(least_ns, self.delay(attempt, cap))
        self.count("backoffs")

    def venue_down(self, reason: str, least_ns: int = 0) -> None:
        self.move(Turn.VENUE_DOWN, reason)
        if not self.in_maintenance:
            self.changed["in_maintenance"] = True
            self.count("maintenances")
            self.tell(News.MAINTENANCE_BEGAN, reason=reason)
        self.wait(self.rules.maintenance_max_ns, least_ns)

    def promote(self, reason: str) -> None:
        spare = self.spare
        assert spare is not None
        self.main, self.spare = spare, None
        if not spare.opened_ns:
            self.move(Turn.PROMOTED_UNOPENED, reason)
            return
        self.move(Turn.PROMOTED, reason)
        self.changed["rotate_ns"] = self.now + self.life()
        self.tell(News.CONNECTED)
        self.do(s.TakeOver(spare.number, 0, joined=False))
        for key, topic in spare.topics.items():
            if topic.phase is Phase.ALIVE:
                self.tell(News.TOPIC_ALIVE, key)

    # --- Rotation ---------------------------------------------------------------------------------

    def rotate(self, reason: str) -> None:
        if self.spare is not None or self.status not in {Status.SUBSCRIBING, Status.LIVE, Status.DEGRADED}:
            return
        self.move(Turn.ROTATION_BEGAN, reason)
        self.changed["rotate_reason"] = reason
        self.spare = self.new_socket()

    def rotation_failed(self, reason: str, least_ns: int) -> None:
        spare = self.spare
        assert spare is not None
        self.spare = None
        self.do(s.CloseSocket(spare.number, reason))
        self.count("rotations_failed")
        self.move(Turn.ROTATION_FAILED, f"rotation failed: {reason}")
        attempt = self.get("replace_attempt")
        due = self.now + max(least_ns, self.delay(attempt, self.rules.backoff_max_ns))
        self.changed.update(replace_attempt=attempt + 1, replace_ns=due)
        if self.get("rotate_ns") < due:
            self.changed["rotate_ns"] = due

    def try_take_over(self) -> None:
        main, spare = self.main, self.spare
        if main is None or spare is None or not spare.opened_ns:
            return
        for key, spec in self.specs.items():
            phase = spare.topics[key].phase
            if phase is Phase.ALIVE or (phase is Phase.GRANTED and not spec.first_ns):
                continue
            if phase in {Phase.MUTE, Phase.REFUSED} and main.topics[key].phase is not Phase.ALIVE:
                continue
            return
        reason = str(self.changed.get("rotate_reason", self.before.rotate_reason))
        self.do(s.TakeOver(spare.number, main.number, joined=True))
        self.do(s.CloseSocket(main.number, "rotated"))
        self.count("rotations")
        self.tell(News.ROTATED, reason=reason)
        for key, topic in spare.topics.items():
            if topic.phase is Phase.ALIVE and main.topics[key].phase is not Phase.ALIVE:
                self.tell(News.TOPIC_ALIVE, key)
        self.main, self.spare = spare, None
        self.move(Turn.TAKEN_OVER, f"rotated: {reason}")
        self.changed["rotate_ns"] = self.now + self.life()
        self.changed["rotate_reason"] = "the venue's time limit comes near"

    # --- Time -------------------------------------------------------------------------------------

    def ticked(self, event: s.Ticked) -> None:
        if self.status in {Status.BACKOFF, Status.MAINTENANCE} and self.main is None:
            if self.now >= self.get("due_ns"):
                self.move(Turn.DUE)
                self.open_main()
            return
        heard = {pulse.number: pulse for pulse in event.sockets}
        if self.spare is not None:
            self.tick_spare(heard.get(self.spare.number))
        if self.main is not None:
            self.tick_main(heard.get(self.main.number))
            self.renew_wanted()
        if self.spare is not None and self.main is not None:
            self.try_take_over()

    def tick_spare(self, pulse: s.SocketPulse | None) -> None:
        spare = self.spare
        assert spare is not None
        if self.now - spare.asked_ns >= self.rules.rotate_ns:
            self.rotation_failed("its topics did not all come", 0)
        elif not spare.opened_ns:
            if self.now - spare.asked_ns >= self.rules.connect_ns:
                self.rotation_failed("connecting took too long", 0)
        else:
            for key in self.specs:
                self.tick_topic(spare.number, key, pulse.pulses if pulse else _NO_PULSES)

    def tick_main(self, pulse: s.SocketPulse | None) -> None:
        main = self.main
        assert main is not None
        if not main.opened_ns:
            if self.now - main.asked_ns >= self.rules.connect_ns:
                self.lose_main("connecting took too long")
            return
        heard = pulse.heard_ns if pulse else 0
        if not self.tick_ping(main, heard):
            return
        pulses = pulse.pulses if pulse else _NO_PULSES
        if self.all_mute(main, pulses):
            self.count("mutes")
            self.lose_main("mute: the connection is open and no topic has data", at_once=True)
            return
        failed = [reason for key in self.specs if (reason := self.tick_topic(main.number, key, pulses))]
        if failed and self.main is not None:
            self.replace(failed[0])
        elif self.now >= self.get("rotate_ns"):
            self.rotate(str(self.changed.get("rotate_reason", self.before.rotate_reason)))

    def tick_ping(self, socket: SocketState, heard_ns: int) -> bool:
        """False when the other end is gone. A ping is only owed an answer where nothing at all was heard since."""
        asked = socket.pinged_ns != socket.opened_ns
        if asked and heard_ns < socket.pinged_ns and self.now - socket.pinged_ns >= self.rules.pong_ns:
            self.lose_main("half open: neither data nor a pong")
            return False
        if self.now - socket.pinged_ns >= self.rules.ping_every_ns:
            self.put(msgspec.structs.replace(socket, pinged_ns=self.now))
            self.do(s.SendPing(socket.number))
        return True

    def all_mute(self, main: SocketState, pulses: Mapping[str, Pulse]) -> bool:
        """Whether a topic is over its limit and nothing else was heard since, where there was something else."""
        latest, least, spoke = main.opened_ns, 0, 0
        for key, spec in self.specs.items():
            pulse = pulses.get(key)
            if pulse is None or not pulse.count:
                continue
            spoke += 1
            latest = max(latest, pulse.last_ns)
            limit = mute_after_ns(spec, pulse, self.rules)
            if limit and self.now - pulse.last_ns > limit:
                least = min(least or limit, limit)
        return spoke > 1 and least > 0 and self.now - latest > least

    def replace(self, reason: str) -> None:
        """The main socket fails some of its topics: rotate it, or leave it where nothing on it is alive."""
        main = self.main
        assert main is not None
        if self.spare is not None:
            return
        if not any(topic.phase is Phase.ALIVE for topic in main.topics.values()):
            self.lose_main(reason, at_once=True)
            return
        if self.now < self.get("replace_ns"):
            return
        attempt = self.get("replace_attempt")
        due = self.now + self.delay(attempt, self.rules.backoff_max_ns)
        self.changed.update(replace_attempt=attempt + 1, replace_ns=due)
        self.rotate(reason)

    def settle(self) -> None:
        """Say how the connection stands after what has happened to its topics."""
        main = self.main
        if main is None or not main.opened_ns:
            return
        topics = main.topics
        if self.in_maintenance and any(topic.phase is Phase.ALIVE for topic in topics.values()):
            self.changed["in_maintenance"] = False
            self.tell(News.MAINTENANCE_ENDED)
        bad = next((t for t in topics.values() if t.phase in {Phase.MUTE, Phase.REFUSED} or t.tries), None)
        complete = all(
            topic.phase is Phase.ALIVE or (topic.phase is Phase.GRANTED and not self.specs[key].first_ns)
            for key, topic in topics.items()
        )
        if complete and self.status in {Status.SUBSCRIBING, Status.DEGRADED}:
            self.move(Turn.COMPLETE, "all topics are alive")
            self.changed["live_since_ns"] = self.now
        elif not complete and bad is not None and self.status in {Status.SUBSCRIBING, Status.LIVE}:
            self.end_calm()
            self.move(Turn.INCOMPLETE, bad.reason)
