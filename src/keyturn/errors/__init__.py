"""Everything that can go wrong: what the caller is told, and what the operator is told."""
