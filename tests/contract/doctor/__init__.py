"""How to break each cause of the catalogue: a file for each family, a function for each id."""
