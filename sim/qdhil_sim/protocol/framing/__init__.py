"""Dialects with a framing of their own: where messages end, prompts, logins, and who carries them."""
