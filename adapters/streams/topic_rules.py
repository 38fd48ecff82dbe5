"""What is expected of one topic on one socket: granted in time, heard in time, asked for again once.

Pure. Says why a socket has to be replaced; `machine` replaces it.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from adapters.streams import state as s
from adapters.streams.state import News, Phase, TopicState
from adapters.streams.step import Step
from adapters.streams.topics import Pulse, TopicSpec

_BEGINNING = frozenset({Phase.ASKED, Phase.GRANTED, Phase.REFUSED})


def mute_after_ns(spec: TopicSpec, pulse: Pulse | None, rules: s.ConnectionRules) -> int:
    """The age of data at which a topic is mute: its limit, or more where it is known to speak rarely. 0: never."""
    if not spec.mute_ns or not spec.stretches or pulse is None or pulse.count < 3:
        return spec.mute_ns
    mean = (pulse.last_ns - pulse.first_ns) // (pulse.count - 1)
    return max(spec.mute_ns, min(mean * rules.stretch, rules.stretch_max_ns))


class TopicRules(Step):
    """The rules of topics."""

    def granted(self, event: s.Granted) -> None:
        """The venue granted a topic."""
        socket = self.socket_of(event.number)
        topic = socket.topics.get(event.key) if socket else None
        if topic is not None and topic.phase in {Phase.ASKED, Phase.REFUSED}:
            self.set_topic(event.number, event.key, TopicState(Phase.GRANTED, self.now, topic.tries))

    def asked(self, event: s.Asked) -> None:
        """The time to be granted begins again."""
        socket = self.socket_of(event.number)
        topic = socket.topics.get(event.key) if socket else None
        if topic is not None and topic.phase is Phase.ASKED:
            self.set_topic(event.number, event.key, TopicState(Phase.ASKED, self.now, topic.tries, topic.reason))

    def refused(self, event: s.Refused) -> None:
        """The venue refused a topic, for good or for now."""
        socket = self.socket_of(event.number)
        topic = socket.topics.get(event.key) if socket else None
        if topic is None:
            return
        self.count("refused")
        refused = TopicState(Phase.REFUSED, self.now, topic.tries, event.reason[:200], event.retry)
        self.set_topic(event.number, event.key, refused)
        if self.is_main(event.number):
            news = News.TOPIC_LOST if event.retry else News.TOPIC_REFUSED
            self.tell(news, event.key, event.reason[:200])

    def renewed(self, key: str) -> None:
        """Somebody needs a topic from its beginning."""
        main = self.main
        if main is not None and main.opened_ns and key in main.topics:
            self.put(msgspec.structs.replace(main, wanted=main.wanted | {key}))
            self.renew_wanted()

    def renew_wanted(self) -> None:
        """Begin anew what somebody wants anew, each topic at its pace.

        What is being asked for anyway begins anew, and what was granted owes its first data: its deadline stands.
        """
        main = self.main
        if main is None or not main.wanted:
            return
        rules, full_ns = self.rules, max(self.now, main.renew_full_ns)
        free = rules.renew_burst - (full_ns - self.now + rules.renew_every_ns - 1) // rules.renew_every_ns
        rested = [k for k in main.wanted if self.now - main.renewed.get(k, -rules.renew_gap_ns) >= rules.renew_gap_ns]
        moot = {key for key in rested if main.topics[key].phase in _BEGINNING}
        ask = tuple(sorted(key for key in rested if key not in moot)[: max(0, free)])
        due = moot.union(ask)
        if due:
            asked = TopicState(Phase.ASKED, self.now)
            self.main = msgspec.structs.replace(
                main,
                wanted=main.wanted - due,
                renewed={**main.renewed, **dict.fromkeys(ask, self.now)},
                renew_full_ns=full_ns + len(ask) * rules.renew_every_ns,
                topics={**main.topics, **dict.fromkeys(ask, asked)},
            )
        if ask:
            self.do(s.Resubscribe(main.number, ask))

    def tick_topic(self, number: int, key: str, pulses: Mapping[str, Pulse]) -> str:
        """Look at one topic; answers with why the socket has to be replaced, or "" when it need not be."""
        socket = self.socket_of(number)
        assert socket is not None
        spec, topic, pulse = self.specs[key], socket.topics[key], pulses.get(key)
        last = pulse.last_ns if pulse else 0
        age = self.now - topic.since_ns
        on_main = self.is_main(number)
        match topic.phase:
            case Phase.ASKED | Phase.GRANTED:
                # Data is evidence of the subscription, answered or not.
                if last >= topic.since_ns and last:
                    self.alive(number, key, on_main)
                elif topic.phase is Phase.ASKED and age > self.rules.ack_ns:
                    self.count("unacked")
                    return self.again(number, key, topic, "unacked: the venue did not answer for it")
                elif topic.phase is Phase.GRANTED and spec.first_ns and age > spec.first_ns:
                    self.count("mutes")
                    return self.again(number, key, topic, "silent: granted, and no data came")
            case Phase.ALIVE:
                limit = mute_after_ns(spec, pulse, self.rules)
                if limit and self.now - max(last, topic.since_ns) > limit:
                    self.count("mutes")
                    age_ms = (self.now - max(last, topic.since_ns)) // 1_000_000
                    return self.again(number, key, topic, f"mute: no data for {age_ms} ms")
            case Phase.MUTE:
                if last > topic.since_ns:
                    self.alive(number, key, on_main)
                elif age > max(self.rules.ack_ns, mute_after_ns(spec, pulse, self.rules)):
                    return topic.reason or "mute"
            case Phase.REFUSED:
                if topic.retry and age > self.rules.refusal_retry_ns:
                    self.set_topic(number, key, TopicState(Phase.ASKED, self.now, topic.tries))
                    self.do(s.Resubscribe(number, (key,)))
            case Phase.WAITING:
                pass
        return ""

    def alive(self, number: int, key: str, on_main: bool) -> None:
        """A topic has spoken."""
        self.set_topic(number, key, TopicState(Phase.ALIVE, self.now))
        if on_main:
            self.tell(News.TOPIC_ALIVE, key)

    def again(self, number: int, key: str, topic: TopicState, reason: str) -> str:
        """A topic failed: ask for it once more; the second time the socket is to blame."""
        if topic.tries:
            self.set_topic(number, key, TopicState(Phase.MUTE, self.now, topic.tries, reason))
            return reason
        asked = topic.phase is Phase.ASKED
        self.set_topic(number, key, TopicState(Phase.ASKED if asked else Phase.MUTE, self.now, 1, reason))
        self.do(s.Resubscribe(number, (key,)))
        if self.is_main(number):
            self.tell(News.TOPIC_LOST, key, reason)
        return ""
