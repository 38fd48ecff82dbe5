"""Where each venue's orders go, decided once before anything starts: simulation, loopback, test network, or the venue.

One pure function of the configuration and of what the environment says; nothing else may decide it. **The safest
wins**: a switch of the environment can make a desk safer than its configuration and never the other way, and one venue
that simulates makes them all simulate, for half of a hedge that is real is none. Owns the names of the variables. Opens
nothing and keeps no secret longer than it is read for.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

import msgspec

from adapters.binance.instruments import COINM, SPOT, USDM
from adapters.bybit.instruments import BYBIT
from adapters.ccxt_venues.instruments import GATEIO, MEXC
from adapters.config_error import ConfigError
from adapters.config_model import DeskConfig
from adapters.config_values import DEFAULT
from adapters.okx.instruments import OKX
from adapters.orders.wire import Credentials


class Backend(Enum):
    """Who fills an order, from the safest to the one that costs money."""

    SIMULATED = "simulated"
    LOOPBACK = "loopback"
    TESTNET = "testnet"
    LIVE = "live"

    @property
    def rank(self) -> int:
        """0 is the safest."""
        return list(Backend).index(self)

    @property
    def books(self) -> str:
        """Whose books its fills belong in: those of play money, of a test network, or the real ones."""
        return "paper" if self.rank <= Backend.LOOPBACK.rank else self.value


class Variables(msgspec.Struct, frozen=True, kw_only=True):
    """A venue's variables in the environment; the first name of several is the one that is advised."""

    key: tuple[str, ...]
    secret: tuple[str, ...]
    passphrase: tuple[str, ...] = ()
    needs_passphrase: bool = False
    testnet: str = ""
    live_trading: str = ""
    force_mock: str


_FUTURES: Final = Variables(
    key=("BINANCE_FUTURES_API_KEY",),
    secret=("BINANCE_FUTURES_API_SECRET",),
    testnet="BINANCE_FUTURES_TESTNET",
    live_trading="BINANCE_LIVE_TRADING",
    force_mock="BINANCE_FORCE_MOCK",
)
VARIABLES: Final[Mapping[str, Variables]] = {
    SPOT: Variables(
        key=("BINANCE_API_KEY", "BINANCE_KEY"),
        secret=("BINANCE_API_SECRET", "BINANCE_SECRET"),
        testnet="BINANCE_USE_TESTNET",
        live_trading="BINANCE_LIVE_TRADING",
        force_mock="BINANCE_FORCE_MOCK",
    ),
    USDM: _FUTURES,
    COINM: _FUTURES,
    OKX: Variables(
        key=("OKX_API_KEY", "OKX_KEY"),
        secret=("OKX_API_SECRET", "OKX_SECRET"),
        passphrase=("OKX_API_PASSPHRASE", "OKX_PASSPHRASE"),
        needs_passphrase=True,
        testnet="OKX_USE_TESTNET",
        live_trading="OKX_LIVE_TRADING",
        force_mock="OKX_FORCE_MOCK",
    ),
    BYBIT: Variables(
        key=("BYBIT_API_KEY", "BYBIT_KEY"),
        secret=("BYBIT_API_SECRET", "BYBIT_SECRET"),
        testnet="BYBIT_USE_TESTNET",
        live_trading="BYBIT_LIVE_TRADING",
        force_mock="BYBIT_FORCE_MOCK",
    ),
    GATEIO: Variables(
        key=("GATEIO_API_KEY",),
        secret=("GATEIO_API_SECRET",),
        passphrase=("GATEIO_PASSWORD",),
        testnet="GATEIO_SANDBOX",
        live_trading="GATEIO_LIVE_TRADING",
        force_mock="GATEIO_FORCE_MOCK",
    ),
    MEXC: Variables(
        key=("MEXC_API_KEY",),
        secret=("MEXC_API_SECRET",),
        live_trading="MEXC_LIVE_TRADING",
        force_mock="MEXC_FORCE_MOCK",
    ),
}
MODE_VARIABLE: Final = "EXCHANGE_MODE"
EXCHANGE_VARIABLE: Final = "EXCHANGE"
_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What the configuration asks of one venue. ``played``: a recording is played, or virtual time runs."""

    venue: str
    profile: str
    orders: str
    environment: str
    played: bool = False


class Switches(msgspec.Struct, frozen=True, kw_only=True):
    """What the environment says of one venue; None: nothing. ``keys``: all that an account needs is there."""

    keys: bool = False
    force_mock: bool = False
    mode_mock: bool = False
    testnet: bool | None = None
    live_trading: bool | None = None


class Resolved(msgspec.Struct, frozen=True, kw_only=True):
    """Where a venue's orders go, and why, in words."""

    venue: str
    backend: Backend
    reason: str


def resolve(wish: Wish, switches: Switches) -> Resolved:
    """The backend of one venue by itself. The first line that applies decides; the emergency switch is the first."""
    names = variables_of(wish.venue)

    def found(backend: Backend, reason: str) -> Resolved:
        return Resolved(venue=wish.venue, backend=backend, reason=reason)

    if switches.force_mock:
        return found(Backend.SIMULATED, f"{names.force_mock} is set: the emergency switch beats everything")
    if switches.mode_mock:
        return found(Backend.SIMULATED, f"{MODE_VARIABLE} is mock")
    if wish.played:
        return found(Backend.SIMULATED, "a recording has no venue that could be traded with")
    if wish.orders != "wire":
        return found(Backend.SIMULATED, "execution.orders is simulated")
    if wish.environment == "loopback":
        return found(Backend.LOOPBACK, "our own server stands for the venue")
    if not switches.keys:
        return found(Backend.SIMULATED, f"no keys: {missing(names)}")
    if wish.environment == "testnet" or switches.testnet:
        why = "execution.environment is testnet" if wish.environment == "testnet" else f"{names.testnet} is true"
        if not names.testnet:
            return found(Backend.SIMULATED, f"{why}, and {wish.venue} has no test network")
        return found(Backend.TESTNET, why)
    if switches.live_trading is False:
        return found(Backend.SIMULATED, f"{names.live_trading} is false")
    if wish.profile != "live":
        return found(Backend.SIMULATED, "the profile is not live")
    return found(Backend.LIVE, "profile live, execution.environment live, and keys of an account")


def missing(names: Variables) -> str:
    """Which variables an account needs, in words."""
    wanted = [names.key[0], names.secret[0], *(names.passphrase[:1] if names.needs_passphrase else ())]
    return f"set {', '.join(wanted[:-1])} and {wanted[-1]}"


def agreed(each: tuple[Resolved, ...]) -> tuple[Resolved, ...]:
    """The backends of one desk: all as safe as the safest of them."""
    safest = min((one.backend for one in each), key=lambda backend: backend.rank)
    because = next(one for one in each if one.backend is safest)
    return tuple(
        one
        if one.backend is safest
        else Resolved(
            venue=one.venue,
            backend=safest,
            reason=f"{because.venue} is {safest.value} ({because.reason}), and half of a hedge is none",
        )
        for one in each
    )


# --- The environment ---------------------------------------------------------------------------------------


def variables_of(venue: str) -> Variables:
    """A venue's variables; of one that is not in the table by its own name, although nobody speaks with it yet."""
    name = venue.upper().replace("-", "_")
    return VARIABLES.get(venue) or Variables(
        key=(f"{name}_API_KEY",), secret=(f"{name}_API_SECRET",), force_mock=f"{name}_FORCE_MOCK"
    )


def switches_of(venue: str, env: Mapping[str, str]) -> Switches:
    """What ``env`` says of a venue; `ConfigError` names the variable that says nothing readable, or two things."""
    names = variables_of(venue)
    mode = env.get(MODE_VARIABLE, "").strip().lower()
    if mode not in {"", "mock", "real"}:
        raise ConfigError(MODE_VARIABLE, f"{mode[:40]!r} is neither mock nor real", "write mock or real")
    return Switches(
        keys=credentials_of(venue, env) is not None,
        force_mock=_switch(names.force_mock, env) is True,
        mode_mock=mode == "mock",
        testnet=_switch(names.testnet, env),
        live_trading=_switch(names.live_trading, env),
    )


def credentials_of(venue: str, env: Mapping[str, str]) -> Credentials | None:
    """The account's key, None where a part of it is not there. Two names of one thing must agree."""
    names = variables_of(venue)
    key, secret, passphrase = (_one(group, env) for group in (names.key, names.secret, names.passphrase))
    if not key or not secret or (names.needs_passphrase and not passphrase):
        return None
    return Credentials(api_key=key, secret=secret, passphrase=passphrase)


def key_variables() -> tuple[str, ...]:
    """Every variable that holds a part of a key."""
    groups = [
        name for names in VARIABLES.values() for group in (names.key, names.secret, names.passphrase) for name in group
    ]
    return tuple(dict.fromkeys(groups))


def _one(group: tuple[str, ...], env: Mapping[str, str]) -> str:
    given = {name: env[name].strip() for name in group if env.get(name, "").strip()}
    if len(set(given.values())) > 1:
        raise ConfigError(" and ".join(given), "they are two names of one thing and differ", "set one of them")
    return next(iter(given.values()), "")


def _switch(name: str, env: Mapping[str, str]) -> bool | None:
    said = env.get(name, "").strip().lower() if name else ""
    if not said:
        return None
    if said not in _TRUE | _FALSE:
        raise ConfigError(name, f"{said[:40]!r} is neither true nor false", "write true or false")
    return said in _TRUE


# --- The desk ----------------------------------------------------------------------------------------------


def backends_of(config: DeskConfig, env: Mapping[str, str], *, played: bool = False) -> tuple[Resolved, ...]:
    """Every venue of the desk with its backend. `ConfigError` for what the environment says and nobody can read."""
    wanted = env.get(EXCHANGE_VARIABLE, "").strip().lower()
    if wanted and wanted not in config.venues and config.execution.environment != "loopback":
        known = ", ".join(config.venues)
        raise ConfigError(EXCHANGE_VARIABLE, f"{wanted[:40]!r} is no venue of this desk: {known}", "add it to venues")
    each = tuple(
        resolve(
            Wish(
                venue=venue,
                profile=config.profile,
                orders=config.execution.orders,
                environment=config.execution.environment,
                played=played or config.session != DEFAULT,
            ),
            switches_of(venue, env),
        )
        for venue in config.venues
    )
    return agreed(each)
