"""Telegram: long polling or a webhook, and a message counts as received only once it is stored."""
