"""Keyturn: a secrets manager you run yourself."""

__version__ = "0.1.0"
