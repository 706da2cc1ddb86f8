"""Rules: pure functions of their arguments. The clock, the database and randomness are handed in."""
