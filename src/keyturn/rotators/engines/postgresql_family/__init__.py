"""What PostgreSQL and Amazon Redshift have in common: protocol, TLS, login, errors. Not an engine by itself."""
