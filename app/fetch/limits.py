"""What a download may cost, and where it may lead."""

from __future__ import annotations

from dataclasses import dataclass

from app.fetch.address import Network


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchLimits:
    """timeout_s: seconds for the whole download, redirects included.

    connect_timeout_s: for one connect. read_timeout_s: of silence while reading.
    slots: downloads at once. user_share (0-1): of the slots, that one user may hold while others wait.
    allow_networks: networks of private addresses that are permitted nevertheless.
    """

    timeout_s: float
    connect_timeout_s: float
    read_timeout_s: float
    max_redirects: int
    max_picture_bytes: int
    slots: int
    user_share: float
    allow_ports: frozenset[int]
    allow_hosts: frozenset[str]
    allow_networks: frozenset[Network]
