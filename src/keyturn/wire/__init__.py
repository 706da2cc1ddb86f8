"""AWS's wire: its protocols, driven by the service models, and nothing about what an operation means.

The life of a request here is ``route`` → ``protocol(service).parse`` → (a handler) → ``protocol(service).reply`` or
``.error``; ``redact`` says what of it an audit event may show.
"""

from keyturn.wire.protocols import Protocol, protocol

__all__ = ["Protocol", "protocol"]
