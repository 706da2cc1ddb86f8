"""What a client of the API does in several calls, and how it tells of them: for the command line and the console."""
