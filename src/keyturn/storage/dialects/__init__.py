"""One module per database, found by the scheme of its URL; each offers ``DIALECT``."""
