"""Which account a venue's orders are of: the loopback server's, the test network's, or the real one.

The one place where a key of the environment becomes a link. Owns also whose books a data directory holds: fills of play
money and of a real account never stand in one journal. Imported only by cells that send, and by the preflight.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.ccxt_venues.instruments import VENUES as CCXT_VENUES
from adapters.config import ConfigError, DeskConfig
from adapters.execution_backend import Backend, Resolved, backends_of, credentials_of, missing, variables_of
from adapters.orders.entry import EntryMode
from adapters.orders.wire import Credentials
from trading.instruments import Instrument

if TYPE_CHECKING:
    from adapters.orders.link import OrderLinkSpec

PAPER_KEYS = Credentials(api_key="paper-key", secret="paper-secret", passphrase="paper-pass")  # noqa: S106
"""Of the loopback servers' accounts: they open nothing else."""
KIND_FILE = "account-kind"


def account_link(
    venue: str, instruments: Iterable[Instrument], port: int, config: DeskConfig, env: Mapping[str, str]
) -> OrderLinkSpec:
    """The account behind ``venue``; ``port`` is of the loopback server that stands for it where one does.

    `ConfigError` where there is no account: whoever asks has been told before that orders are simulated.
    """
    from adapters.orders.link import OrderLinkSpec  # noqa: PLC0415 - an HTTP client, which the preflight has no use for

    found = {one.venue: one for one in backends_of(config, env)}[venue]
    mine = tuple(instruments)
    if venue in CCXT_VENUES:
        # It takes a second, which a cell that beats already would seem to hang in: now it is only being built.
        importlib.import_module("ccxt")
    if found.backend is Backend.LOOPBACK:
        return OrderLinkSpec(
            venue=venue,
            instruments=mine,
            credentials=PAPER_KEYS,
            rest=f"http://127.0.0.1:{port}",
            ws=f"ws://127.0.0.1:{port}",
            entry=EntryMode(config.execution.entry),
        )
    keys = credentials_of(venue, env)
    if found.backend is Backend.SIMULATED or keys is None:
        raise ConfigError(f"venues.{venue}", f"it has no account: {found.reason}", missing(variables_of(venue)))
    relay = config.market_data.ccxt.hosts.get(venue)
    return OrderLinkSpec(
        venue=venue,
        instruments=mine,
        credentials=keys,
        # Whoever has a relay to a venue has it for the whole of it: what it is read through it is traded through.
        rest=relay.rest if relay is not None else "",
        testnet=found.backend is Backend.TESTNET,
        key_vouched=venue in config.execution.keys_vouched,
        entry=EntryMode(config.execution.entry),
    )


def words_of(each: Iterable[Resolved]) -> str:
    """Who fills the orders, in one line."""
    by_backend: dict[str, list[str]] = {}
    for one in each:
        by_backend.setdefault(one.backend.value, []).append(one.venue)
    return "; ".join(f"{backend} ({', '.join(venues)})" for backend, venues in by_backend.items())


def unmet(config: DeskConfig, each: Iterable[Resolved]) -> str:
    """Why orders do not go where the configuration sends them, "" where they do."""
    asked = config.execution
    if asked.orders != "wire":
        return ""
    wanted = Backend(asked.environment)
    return next((f"{one.venue}: {one.reason}" for one in each if one.backend is not wanted), "")


def check_books(data: Path, backend: Backend) -> None:
    """`ConfigError` when the data directory holds the books of another kind of account; nothing is changed."""
    kind, file = backend.books, data / KIND_FILE
    held = file.read_text("ascii").strip() if file.exists() else "paper" if (data / "journal.db").exists() else kind
    if held != kind:
        raise ConfigError(
            "data_dir",
            f"{data} holds the books of a {held} account, and orders would go to a {kind} one",
            "choose another data_dir",
        )


def mark_books(data: Path, backend: Backend) -> None:
    """Say whose books the directory holds from now on; `check_books` has allowed it."""
    data.mkdir(parents=True, exist_ok=True)
    (data / KIND_FILE).write_text(f"{backend.books}\n", "ascii")
