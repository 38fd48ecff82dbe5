"""The part of the desk's configuration that speaks of venues read through ccxt. Owns what may be configured of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from adapters.ccxt_venues.instruments import VENUES
from adapters.ccxt_venues.spec import PROOF_MS, CcxtSpec


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class HostsConfig(_Model):
    """Scheme and host to ask instead of a venue's own, for example a relay; empty: its own. Paths stay.

    Without TLS only this host is asked.
    """

    rest: Annotated[str, Field(pattern=r"^(https://[^/\s@]+|http://(127\.0\.0\.1|localhost)(:\d+)?)?$")] = ""
    ws: Annotated[str, Field(pattern=r"^(wss://[^/\s@]+|ws://(127\.0\.0\.1|localhost)(:\d+)?)?$")] = ""


class CcxtConfig(_Model):
    """Venues that are read through ccxt (gateio, mexc), and the proof of their books.

    A snapshot is compared with each book every ``audit_every_ms``; one that agrees proves it for ``proof_ms``.
    ``poll_ms`` is the pace at which the books of a venue without a stream are asked for. ``hosts`` are by venue.
    """

    audit_every_ms: Annotated[int, Field(ge=500, le=600_000)] = 15_000
    proof_ms: Annotated[int, Field(ge=1_000, le=1_800_000)] = PROOF_MS
    poll_ms: Annotated[int, Field(ge=50, le=10_000)] = 150
    hosts: Annotated[dict[str, HostsConfig], Field(max_length=16)] = {}

    @field_validator("hosts")
    @classmethod
    def _of_venues(cls, hosts: dict[str, HostsConfig]) -> dict[str, HostsConfig]:
        for venue in hosts:
            if venue not in VENUES:
                raise ValueError(f"{venue} is not read through ccxt; those are {', '.join(VENUES)}")
        return hosts

    @model_validator(mode="after")
    def _outlives_audits(self) -> CcxtConfig:
        if self.proof_ms < 2 * self.audit_every_ms:
            raise ValueError(f"proof_ms {self.proof_ms} must be at least 2 audits of {self.audit_every_ms} ms")
        return self

    def terms(self, venue: str) -> CcxtSpec:
        """The terms of one venue; of one that is not read through ccxt nobody asks."""
        hosts = self.hosts.get(venue, HostsConfig())
        return CcxtSpec(
            rest=hosts.rest,
            ws=hosts.ws,
            audit_every_ms=self.audit_every_ms,
            proof_ms=self.proof_ms,
            poll_ms=self.poll_ms,
        )
