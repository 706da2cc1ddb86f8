"""The network face: from bytes to an operation and back."""
