"""The run folder and its schemas."""
