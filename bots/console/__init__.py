"""The console as a chat platform: a terminal, or a pipe with one line out for every line in."""
