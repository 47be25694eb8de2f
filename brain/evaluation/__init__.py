"""How good a model talks, and whether it recites."""
