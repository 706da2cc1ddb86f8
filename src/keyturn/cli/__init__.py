"""The command line: every command is a client of the API like any other, except init and serve."""
