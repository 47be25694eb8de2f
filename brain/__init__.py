"""Thinking and learning: turns in, candidates and replies out; knows no platform, database or config file."""
