"""Dialogues in, a model that talks like them out: sessions → examples → batches → train."""
