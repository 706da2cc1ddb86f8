"""Encryption at rest: root key, KMS keys, data keys, envelopes and opaque tokens."""
