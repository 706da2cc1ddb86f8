"""What MySQL and MariaDB have in common: protocol, accounts, grants, errors. Not an engine by itself."""
