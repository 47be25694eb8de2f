"""Thinking and learning: turns in, candidates and replies out. Knows no chat platform, no database, no config file."""
