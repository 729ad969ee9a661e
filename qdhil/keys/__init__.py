"""Keys that sign verdicts and overrides: private ones in files and tokens, public ones in ``trust.toml``."""
