"""Database engines, one file each: how its secret looks, how to log in, how to set a password."""
