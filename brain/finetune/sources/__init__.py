"""Exports of chats to sessions: a reader per format yields messages, the rest is the same for all."""
