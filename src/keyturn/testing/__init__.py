"""Fakes that Keyturn ships for its own tests and for its users'."""
