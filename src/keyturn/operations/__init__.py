"""What AWS calls make happen: one function per operation, found by ``registry.py``."""
