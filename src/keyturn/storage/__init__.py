"""What is on disk: tables, statements, transactions. SQL is known here and nowhere else."""
