"""Notifiers: who is told when a rotation fails. One module each, found by walking the package."""
