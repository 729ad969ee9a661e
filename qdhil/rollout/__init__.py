"""Rollouts: a signed firmware goes from ring to ring, and only a verified PASS opens one."""
