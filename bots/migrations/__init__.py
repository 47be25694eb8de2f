"""How the tables came about; `database` runs it."""
