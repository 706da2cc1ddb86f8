"""What happens without a caller: rotations when they are due, secrets past their recovery window."""
