"""The checks: pure functions of a case, each deciding one cause; a file for each family."""
