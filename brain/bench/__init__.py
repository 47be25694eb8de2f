"""How fast this machine talks and learns, at exactly given sizes, against the least time it could take."""
