"""Keyturn's own service: the schedule of rotations, and each rotation with its timeline."""
