"""The ways to switch a controller's firmware: SCPI block, SCPI URL, and SMP of MCUboot."""

from qdhil.firmware.channels.opening import open_channel

__all__ = ["open_channel"]
