"""Profiles of sources of this kind."""
