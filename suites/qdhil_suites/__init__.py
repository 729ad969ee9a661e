"""The regression suites: ``pytest --pyargs qdhil_suites --rig NAME --candidate VERSION``."""
