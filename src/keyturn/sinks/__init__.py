"""Audit sinks: where audit records go besides the database. One module each, found by walking the package."""
