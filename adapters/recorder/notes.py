"""Notes: lines of a wire log that the recorder wrote of itself, of what the bytes of messages do not say.

``{"propdesk":"polled","channel":..,"symbol":..,"body":<the reply>}`` for a REST reply, which does not say what was
asked; ``connected`` and ``disconnected`` where a book's stream has a seam. Pure. Readers of messages do not see them.
"""

from __future__ import annotations

import msgspec

from adapters.wirelog import NOTE_HEAD


class PolledNote(msgspec.Struct, frozen=True, kw_only=True, tag_field="propdesk", tag="polled"):
    """A REST reply that is no book; ``body`` is as it arrived."""

    channel: str
    symbol: str
    body: msgspec.Raw


class ConnectedNote(msgspec.Struct, frozen=True, kw_only=True, tag_field="propdesk", tag="connected"):
    """The stream of this file's symbol begins (again)."""

    connection: str
    view: str


class DisconnectedNote(msgspec.Struct, frozen=True, kw_only=True, tag_field="propdesk", tag="disconnected"):
    """What follows proves nothing of what came before."""

    connection: str
    view: str
    reason: str


Note = PolledNote | ConnectedNote | DisconnectedNote

_encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[Note] = msgspec.json.Decoder(Note)


def polled(channel: str, symbol: str, body: bytes) -> bytes:
    """The line of a REST reply; one that is no JSON is kept as a text."""
    try:
        msgspec.json.decode(body)
        raw = msgspec.Raw(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raw = msgspec.Raw(_encode(body.decode("utf-8", "replace")))
    return _encode(PolledNote(channel=channel, symbol=symbol, body=raw))


def connected(connection: str, view: str) -> bytes:
    """The line of a connection that is open."""
    return _encode(ConnectedNote(connection=connection, view=view))


def disconnected(connection: str, view: str, reason: str) -> bytes:
    """The line of a connection that is gone."""
    return _encode(DisconnectedNote(connection=connection, view=view, reason=reason))


def read_note(payload: bytes) -> Note | None:
    """The note of a line; None when it is not one."""
    if not payload.startswith(NOTE_HEAD):
        return None
    try:
        return _decoder.decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
