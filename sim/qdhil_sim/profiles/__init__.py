"""Sources to simulate, as TOML files by name."""
