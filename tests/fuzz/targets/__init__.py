"""What is fuzzed, by name: each takes any octets, and fails if they break what it promises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tests.fuzz.targets import policies, signatures, wire

TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    "sigv4": signatures.signed_requests,
    "policies": policies.documents,
    "faults": policies.faults,
    "conditions": policies.conditions,
    "patterns": policies.patterns,
    "json": wire.json_bodies,
    "forms": wire.forms,
    "paths": wire.paths,
    "tokens": wire.tokens,
}
