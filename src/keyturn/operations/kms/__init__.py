"""Key Management Service: symmetric keys, their aliases and policies, as far as Secrets Manager needs them."""
