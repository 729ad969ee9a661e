"""Keys and what they sign: private ones in files and tokens, public ones in ``trust.toml``, DSSE envelopes, secrets."""
