"""What makes up an ACL user of Redis and Valkey, one server of them, and what its errors are called."""
