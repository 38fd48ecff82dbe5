"""hold, resume, status and doctor: what an operator can do without the daemon's help; and unlock, which needs it.

Owns these commands. They read and write the boards directly and ask the daemon, if at all, for half a second.
"""

from __future__ import annotations

import argparse
import getpass
import http.client
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
import yaml

from adapters.board_file import BoardBusyError, BoardDamagedError
from adapters.clock import SystemClock
from adapters.config import PROJECT_ROOT, ConfigError, DeskConfig, load_config
from adapters.doctor import Status, examine, process_alive
from adapters.heartbeat_board import SIZE as HEARTBEAT_SIZE
from adapters.heartbeat_board import Beat, HeartbeatBoard
from adapters.permit_board import OperatorBoard, PermitReader, PermitVerdict
from supervision.cli import ANSWER_IS_NO, COULD_NOT_RUN, DONE, failed
from supervision.plan import paths_of
from trading.brakes import Brake, BrakeChanged, Level, Release, release_hash

_HTTP_TIMEOUT_S: Final = 0.5
_BODY_BYTES_MAX: Final = 1 << 20
_FRESH_NS: Final = 1_000_000_000
_CLOCK: Final = SystemClock()

_MEANS: Final = {
    Level.RUN: "nothing restrains trading",
    Level.SAFE: "only resting orders and smaller ones",
    Level.PAUSE: "no new risk; orders that reduce a position go on",
    Level.HOLD: "no new orders; cancels go on",
    Level.KILL: "a running desk cancels everything and flattens; then no new orders",
}
_OBEYED: Final = {
    "up": "The gateways obey from now on: they read the board before every order.",
    "hung": "The daemon does not beat, but its gateways read the board before every order: they obey.",
    "dead": "No daemon runs; the brake stands on the board and the next one starts under it.",
}


class Desk(msgspec.Struct, frozen=True, kw_only=True):
    """Which desk a command speaks of. ``trouble`` is what is wrong with its configuration, if anything."""

    data: Path
    port: int
    config: DeskConfig | None
    trouble: ConfigError | None

    @property
    def board(self) -> Path:
        """Its permit board."""
        return self.data / "permit.board"


def overrides(args: argparse.Namespace) -> dict[str, object]:
    """The keys that the command line sets."""
    found: dict[str, object] = {}
    for pair in args.set:
        key, separator, value = pair.partition("=")
        if not separator:
            raise ConfigError(f"--set {pair}", "no value", "write KEY=VALUE")
        found[key] = value
    if args.data_dir:
        found["data_dir"] = str(Path(args.data_dir).absolute())
    return found


def find_desk(args: argparse.Namespace) -> Desk:
    """The desk that is meant. A broken configuration must not keep anybody from holding, so it is read around."""
    try:
        config = load_config(args.config, args.profile, os.environ, overrides(args))
    except ConfigError as trouble:
        data = Path(args.data_dir).absolute() if args.data_dir else PROJECT_ROOT / _data_dir_at_least(args)
        print(f"propdesk {args.command}: configuration: {trouble}; using {data}", file=sys.stderr)
        return Desk(data=data, port=8000, config=None, trouble=trouble)
    return Desk(data=config.data_path, port=config.server.port, config=config, trouble=None)


def hold(args: argparse.Namespace) -> int:
    """Put an operator's brake on the board."""
    desk = find_desk(args)
    if desk.trouble is not None and not args.data_dir and not desk.board.exists():
        return failed(args, f"no board at {desk.board} and the configuration is wrong: say which desk with --data-dir")
    cause = " ".join(args.cause) or "held by hand"
    try:
        brake = OperatorBoard(desk.board).set(
            args.scope, Level[args.level.upper()], cause, _actor(args), _CLOCK.wall_ns()
        )
    except ValueError as error:
        return failed(args, str(error))
    except BoardDamagedError as error:
        return failed(args, f"{error}. No order passes a damaged board; the next `propdesk run` starts on HOLD")
    except (OSError, BoardBusyError) as error:
        return failed(
            args, f"the board could not be written ({error}). Stop the daemon instead: its permit then expires"
        )
    daemon, _ = _daemon(desk)
    text = f"{brake.scope} is on {brake.level.name}: {_MEANS[brake.level]}. {_OBEYED[daemon]}"
    return _say(args, DONE, text, {"brake": _brake(brake), "daemon": daemon, "board": str(desk.board)})


def resume(args: argparse.Namespace) -> int:
    """Take operators' brakes off the board, and ask a running daemon to release its own."""
    desk = find_desk(args)
    board, actor = OperatorBoard(desk.board), _actor(args)
    two_man = (args.second, args.approve or "") if args.second else None
    try:
        scopes = sorted({brake.scope for brake in board.read()}) if args.all else [args.scope]
        answers = [answer for scope in scopes for answer in board.clear(scope, actor, two_man, _CLOCK.wall_ns())]
        left = board.read()
    except FileNotFoundError:
        answers, left = [], ()
    except (OSError, BoardBusyError, BoardDamagedError) as error:
        return failed(args, str(error))
    released = [a.before for a in answers if isinstance(a, BrakeChanged) and a.before is not None]
    refused = [a for a in answers if not isinstance(a, BrakeChanged)]
    daemon, _ = _daemon(desk)
    cause = " ".join(args.cause) or "resumed by hand"
    answer = None
    if not refused:
        answer = _ask(
            _port(desk, daemon),
            "POST",
            "/api/control",
            {"action": "resume", "scope": args.scope, "cause": f"{actor}: {cause}"},
        )
    words = [f"Released: {b.scope} {b.level.name} ({b.cause})." for b in released]
    words += [f"Not released: {r.scope}: {r.text}." for r in refused]
    words += [f"Still held by operators: {b.scope} {b.level.name} ({b.cause})." for b in left]
    words += (
        []
        if answers
        else [f"No operator's brake was on {' or '.join(scopes)}." if not args.all else "No operator's brake."]
    )
    words.append(_words_of(answer))
    done = bool(released or (answer or {}).get("done")) and not refused
    facts = {
        "released": [_brake(b) for b in released],
        "refused": [{"scope": r.scope, "reason": r.reason.value, "text": r.text} for r in refused],
        "left": [_brake(b) for b in left],
        "daemon": daemon,
        "daemon_answer": answer,
    }
    return _say(args, DONE if done else ANSWER_IS_NO, " ".join(words), facts)


def unlock(args: argparse.Namespace) -> int:
    """Ask a running desk to let the link to a venue try again."""
    desk, actor = find_desk(args), _actor(args)
    daemon, _ = _daemon(desk)
    if daemon == "dead":
        return failed(args, "no desk runs: the next one asks the venue anew by itself")
    cause = " ".join(args.cause) or "unlocked by hand"
    body = {"action": "unlock", "scope": f"venue:{args.venue.removeprefix('venue:')}", "cause": f"{actor}: {cause}"}
    answer = _ask(_port(desk, daemon), "POST", "/api/control", body)
    if answer is None:
        return failed(args, "the daemon did not answer over HTTP; nothing was unlocked")
    done = bool(answer.get("done"))
    facts = {"venue": args.venue, "daemon": daemon, "daemon_answer": answer}
    return _say(args, DONE if done else ANSWER_IS_NO, _words_of(answer), facts)


def adopt(args: argparse.Namespace) -> int:
    """Tell a running desk what it was that holds a venue: a deposit, a withdrawal, a trade that the venue corrected."""
    desk, actor = find_desk(args), _actor(args)
    daemon, _ = _daemon(desk)
    if daemon == "dead":
        return failed(args, "no desk runs: what differs is found when it does")
    venue = args.venue.removeprefix("venue:")
    body = {"action": "adopt", "scope": f"venue:{venue}", "cause": f"{actor}: {' '.join(args.cause)}"}
    answer = _ask(_port(desk, daemon), "POST", "/api/control", body)
    if answer is None:
        return failed(args, "the daemon did not answer over HTTP; look at `propdesk recon` before trying again")
    facts = {"venue": venue, "daemon": daemon, "daemon_answer": answer}
    return _say(args, DONE if answer.get("done") else ANSWER_IS_NO, _words_of(answer), facts)


def status(args: argparse.Namespace) -> int:
    """May it trade? The answer is no without a valid permit and with a global HOLD."""
    desk = find_desk(args)
    reader, now_ns = PermitReader(desk.board), _CLOCK.mono_ns()
    lease = reader.lease()
    verdict = reader.check((), now_ns, lease.epoch if lease is not None else -1)
    daemon, beats = _daemon(desk)
    try:
        operators = OperatorBoard(desk.board).read()
    except (BoardDamagedError, OSError):
        operators = ()
    port = _port(desk, daemon)
    state = _ask(port, "GET", "/api/ui/control-state")
    trading = verdict in {PermitVerdict.GRANTED, PermitVerdict.SAFE_ONLY, PermitVerdict.REDUCE_ONLY}
    modes = reader.modes()
    lines = [f"{'Trading is permitted' if trading else 'Trading is NOT permitted'}: {verdict.value}. Daemon: {daemon}."]
    lines += [reader.problem] if reader.problem else []
    if lease is not None and lease.epoch:
        left_ms = (lease.expires_mono_ns - now_ns) / 1e6
        ends = f"ends in {left_ms:.0f} ms" if left_ms > 0 else "has expired"
        lines.append(f"Permit of epoch {lease.epoch} {ends}; newest epoch {reader.newest_epoch()}.")
    lines += [f"  {scope}: {level.name}" for scope, level in sorted(modes.items())]
    lines += [f"  held by {b.set_by}: {b.scope} {b.level.name}: {b.cause}" for b in operators]
    lines += [f"  {beat.name}: pid {beat.pid}, {beat.state.name}, {_age(beat, now_ns)}" for beat in beats]
    lines.append("HTTP answers." if state is not None else f"HTTP does not answer on port {port}.")
    facts = {
        "trading": trading,
        "verdict": verdict.value,
        "problem": reader.problem,
        "epoch": lease.epoch if lease is not None else None,
        "newest_epoch": reader.newest_epoch(),
        "modes": {scope: level.name for scope, level in modes.items()},
        "operators": [_brake(b) for b in operators],
        "daemon": daemon,
        "cells": [{**msgspec.to_builtins(beat), "age_ms": round((now_ns - beat.mono_ns) / 1e6)} for beat in beats],
        "http": state,
    }
    return _say(args, DONE if trading else ANSWER_IS_NO, "\n".join(lines), facts)


def doctor(args: argparse.Namespace) -> int:
    """Every check; the answer is no when one fails."""
    config: DeskConfig | ConfigError
    try:
        config = load_config(args.config, args.profile, os.environ, overrides(args))
    except ConfigError as trouble:
        config = trouble
    checks = examine(config, os.environ)
    marks = {Status.OK: "ok  ", Status.WARN: "WARN", Status.FAIL: "FAIL"}
    lines = [f"{marks[c.status]} {c.name:<13} {c.text}{f'  -> {c.mend}' if c.mend else ''}" for c in checks]
    sound = all(c.status is not Status.FAIL for c in checks)
    return _say(
        args, DONE if sound else ANSWER_IS_NO, "\n".join(lines), {"checks": [msgspec.to_builtins(c) for c in checks]}
    )


def _say(args: argparse.Namespace, code: int, text: str, facts: Mapping[str, object]) -> int:
    assert code != COULD_NOT_RUN
    if args.json:
        print(json.dumps({"command": args.command, "done": code == DONE, "text": text, **facts}))
    else:
        print(text)
    return code


def _actor(args: argparse.Namespace) -> str:
    if args.actor:
        return str(args.actor)
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return f"uid-{os.getuid()}"


def _daemon(desk: Desk) -> tuple[str, list[Beat]]:
    """``up`` when a process beat within a second, ``hung`` when its process exists without, else ``dead``."""
    path = desk.data / "heartbeat.board"
    beats = HeartbeatBoard(path).read() if path.exists() and path.stat().st_size == HEARTBEAT_SIZE else []
    now_ns = _CLOCK.mono_ns()
    living = [beat for beat in beats if process_alive(beat.pid)]
    if any(0 <= now_ns - beat.mono_ns < _FRESH_NS for beat in living):
        return "up", beats
    return ("hung" if living else "dead"), beats


def _port(desk: Desk, daemon: str) -> int:
    """Where the desk's HTTP is: where the running one said, else where the configuration puts it."""
    try:
        return int(paths_of(desk.data).port.read_text("ascii")) if daemon != "dead" else desk.port
    except (OSError, ValueError):
        return desk.port


def _ask(port: int, method: str, path: str, body: dict[str, str] | None = None) -> dict[str, object] | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_HTTP_TIMEOUT_S)
    try:
        payload = json.dumps(body) if body is not None else None
        connection.request(method, path, payload, {"Content-Type": "application/json"} if payload else {})
        answer = json.loads(connection.getresponse().read(_BODY_BYTES_MAX))
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return answer if isinstance(answer, dict) else None


def _words_of(answer: dict[str, object] | None) -> str:
    if answer is None:
        return "The daemon did not answer over HTTP; it sees the board by itself."
    return f"The daemon says: {answer.get('text') or answer.get('message') or answer}."


def _brake(brake: Brake) -> dict[str, object]:
    facts: dict[str, object] = {**msgspec.to_builtins(brake), "level": brake.level.name}
    if brake.release is Release.TWO_MAN:
        facts["release_hash"] = release_hash(brake)
    return facts


def _age(beat: Beat, now_ns: int) -> str:
    return f"beat {(now_ns - beat.mono_ns) / 1e6:.0f} ms ago" if beat.mono_ns else "has not beaten yet"


def _data_dir_at_least(args: argparse.Namespace) -> str:
    """``data_dir`` of a configuration that is wrong elsewhere."""
    given = os.environ.get("PROPDESK_DATA_DIR")
    if given:
        return given
    path = (
        args.config or os.environ.get("PROPDESK_CONFIG") or PROJECT_ROOT / "configs" / f"{args.profile or 'paper'}.yaml"
    )
    try:
        tree = yaml.safe_load(Path(path).read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return "data"
    return str(tree["data_dir"]) if isinstance(tree, dict) and "data_dir" in tree else "data"
