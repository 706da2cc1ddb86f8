"""Root key providers, one file each. :func:`keyturn.crypto.root_key.providers` finds them."""
