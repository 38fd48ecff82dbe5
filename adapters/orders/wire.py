"""What goes to a venue: requests before and after signing, the commands beyond orders, and what an answer can be.

Owns words only: dialects write and read them, `adapters.orders.client` carries them. Amounts are decimal texts; times
on the wire are UTC milliseconds, in our messages UTC nanoseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

import msgspec

from trading.limits.messages import Priority
from trading.orders.messages import VenueCommand, VenueEvent

MS_NS = 1_000_000
SECOND_NS = 1_000_000_000


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """One API key. ``passphrase`` is OKX's. Printing it shows the end of the key and nothing else."""

    api_key: str
    secret: str
    passphrase: str = ""

    def __repr__(self) -> str:
        """Never the secret: reprs end in logs."""
        return f"Credentials(api_key='...{self.api_key[-4:]}')"


class Host(Enum):
    """Which of a venue's hosts: WALLET is where Binance answers for all of a user's keys (``/sapi``)."""

    REST = "rest"
    WALLET = "wallet"


class OrderEndpoints(msgspec.Struct, frozen=True, kw_only=True):
    """Bases without a path. ``demo`` says that keys and funds are of the venue's test network.

    ``entry`` is where orders are taken by WebSocket, "" where ``ws`` is that host too.
    """

    rest: str
    ws: str
    wallet: str = ""
    entry: str = ""
    demo: bool = False


class Signing(Enum):
    """How much of the account a request needs: nothing, the key's name, or a signature."""

    NONE = "none"
    KEY = "key"
    SIGNED = "signed"


class WireKind(Enum):
    """What a request does to the account: deadlines, budgets and repeats follow from it."""

    PLACE = "place"
    AMEND = "amend"
    CANCEL = "cancel"
    CANCEL_ALL = "cancel_all"
    QUERY = "query"
    ACCOUNT = "account"
    SETTING = "setting"


DEADLINE_MS = {
    WireKind.PLACE: 400,
    WireKind.AMEND: 400,
    WireKind.CANCEL: 300,
    WireKind.CANCEL_ALL: 1_500,
    WireKind.QUERY: 1_000,
    WireKind.ACCOUNT: 3_000,
    WireKind.SETTING: 1_500,
}
"""How long an answer is waited for before the desk is told that nothing is known."""

ALWAYS_ALLOWED = frozenset({WireKind.CANCEL, WireKind.CANCEL_ALL, WireKind.SETTING})
"""What makes the account safer: it is not held back by what holds back orders."""
ENTRIES = frozenset({WireKind.PLACE, WireKind.AMEND})
"""What can make an order live. Done twice it is not done once."""
ENTRY_WINDOW_MS = 1_000
"""An order that reaches the venue later than that is dropped there: its market is gone."""
_WINDOW_MS = 5_000

_PRIORITY = {
    WireKind.PLACE: Priority.PLACE,
    WireKind.AMEND: Priority.REPLACE,
    WireKind.CANCEL: Priority.CANCEL,
    WireKind.CANCEL_ALL: Priority.CANCEL,
    WireKind.QUERY: Priority.HEDGE,
    WireKind.ACCOUNT: Priority.POLL,
    WireKind.SETTING: Priority.HEDGE,
}


class WireRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request without time stamp and signature.

    ``query`` is urlencoded, ``body`` is bytes as they travel. ``weight``, ``orders``, ``instrument`` and ``priority``
    are for the venue's limits (`trading.limits`). ``safe_to_repeat``: doing it twice is doing it once; a placement
    never is. ``recv_window_ms``: the venue drops it when it arrives later than that.
    """

    method: str
    path: str
    query: str = ""
    body: bytes = b""
    kind: WireKind
    host: Host = Host.REST
    signing: Signing = Signing.SIGNED
    weight: int = 1
    orders: int = 0
    instrument: str = ""
    priority: Priority
    deadline_ms: int
    safe_to_repeat: bool
    recv_window_ms: int

    @property
    def endpoint(self) -> str:
        """As the tables of limits name it."""
        return f"{self.method} {self.path}"


def wire_request(
    method: str,
    path: str,
    kind: WireKind,
    *,
    query: str = "",
    body: bytes = b"",
    host: Host = Host.REST,
    signing: Signing = Signing.SIGNED,
    weight: int = 1,
    orders: int = 0,
    instrument: str = "",
    reduces: bool = False,
) -> WireRequest:
    """A request with what follows from its kind; ``reduces``: a placement that takes risk away goes first."""
    entry = kind in ENTRIES
    return WireRequest(
        method=method,
        path=path,
        query=query,
        body=body,
        kind=kind,
        host=host,
        signing=signing,
        weight=weight,
        orders=orders,
        instrument=instrument,
        priority=Priority.HEDGE if entry and reduces else _PRIORITY[kind],
        deadline_ms=DEADLINE_MS[kind],
        safe_to_repeat=not entry,
        recv_window_ms=ENTRY_WINDOW_MS if entry else _WINDOW_MS,
    )


class SignedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is handed to the socket: ``url`` is whole, ``headers`` carry key and signature. Good for its moment only."""

    method: str
    url: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""

    def __repr__(self) -> str:
        """Neither headers nor query: both can hold signatures."""
        return f"SignedRequest({self.method} {self.path})"


class HttpAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back over HTTP. ``headers`` have lower-case names; ``ts_ns`` is when it was here, UTC."""

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""
    ts_ns: int


# --- Commands beyond orders --------------------------------------------------------------------------------


class CancelAll(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Cancel every open order of one instrument, ours or not."""

    venue: str
    instrument_id: str
    cause: str
    ts_init_ns: int


class Countdown(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Arm the venue's dead man's switch for ``timeout_ms``; 0 disarms it. Per instrument where the venue does so."""

    venue: str
    instrument_id: str
    timeout_ms: int
    cause: str


class KeyQuery(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What may this key do? Answered by `KeyPermissions`."""

    venue: str


class ModeQuery(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """How does the account keep positions? Answered by `AccountMode`."""

    venue: str


class LeverageQuery(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What leverage has an instrument? Answered by `Leverage`."""

    venue: str
    instrument_id: str


class TimeQuery(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The venue's clock. Answered by `VenueTime`."""

    venue: str


class ListenKeyVerb(Enum):
    """What to do with a listen key. There is no word for deleting one: others may listen with it."""

    OPEN = "open"
    KEEP = "keep"


class ListenKeyRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Open or keep a listen key. Answered by `ListenKey`."""

    venue: str
    verb: ListenKeyVerb
    listen_key: str = ""


WireCommand = VenueCommand | CancelAll | Countdown | KeyQuery | ModeQuery | LeverageQuery | TimeQuery | ListenKeyRequest


# --- Facts about the account -------------------------------------------------------------------------------


class KeyPermissions(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What the venue says that a key may do. ``withdraw`` and ``transfer`` are None where it does not say.

    ``may_only_trade`` is what a desk's key has to be: able to trade, and by the venue's own word unable to withdraw.
    """

    read: bool
    trade: bool
    withdraw: bool | None
    transfer: bool | None
    ip_bound: bool | None
    text: str

    @property
    def may_only_trade(self) -> bool:
        """Silence is not a no."""
        return self.trade and self.withdraw is False


class AccountMode(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """``hedge``: long and short of one instrument are two positions, which this desk cannot trade."""

    hedge: bool
    text: str


class Leverage(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The leverage of an instrument, as the venue's decimal text."""

    instrument_id: str
    leverage: str


class VenueTime(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The venue's clock, UTC ms."""

    server_ms: int


class ListenKey(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The account's listen key; "" when keeping it says no key."""

    listen_key: str


class CountdownSet(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The venue took the timer; ``timeout_ms`` 0 is disarmed."""

    timeout_ms: int


class AllCanceled(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The venue took a cancel-all; which orders are gone, its stream and its open orders tell."""

    instrument_id: str


AccountFact = KeyPermissions | AccountMode | Leverage | VenueTime | ListenKey | CountdownSet | AllCanceled


# --- What an answer is -------------------------------------------------------------------------------------


class Events(msgspec.Struct, frozen=True, tag=True):
    """What the venue said, in the order core's words; none where its answer only says that it has listened."""

    events: tuple[VenueEvent, ...] = ()


class Told(msgspec.Struct, frozen=True, tag=True):
    """The answer to a question about the account, or to a setting."""

    fact: AccountFact
    events: tuple[VenueEvent, ...] = ()


class Ambiguous(msgspec.Struct, frozen=True, tag=True):
    """Nothing is known: the request may have been executed. Only evidence resolves it."""

    reason: str
    events: tuple[VenueEvent, ...] = ()


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The venue's document makes this code a definite no. ``events`` say it to the order core."""

    code: str
    text: str
    events: tuple[VenueEvent, ...] = ()


class Exists(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The venue has this client order id already: evidence that the order exists, never a rejection.

    ``events`` has a report whose text begins with "duplicate", which the order core answers with a query.
    """

    reason: str
    events: tuple[VenueEvent, ...] = ()


class Limited(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Turned away unread because of a limit; certainly not executed. ``retry_ns`` from now on it is worth asking."""

    retry_ns: int
    banned: bool
    text: str
    events: tuple[VenueEvent, ...] = ()


class AuthFailed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Key, signature, address or permission: certainly not executed, and nobody but a person can mend it."""

    text: str
    events: tuple[VenueEvent, ...] = ()


class ClockSkewed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Our time stamp is outside the venue's window: certainly not executed."""

    text: str
    events: tuple[VenueEvent, ...] = ()


Reply = Events | Told | Ambiguous | Refused | Exists | Limited | AuthFailed | ClockSkewed
