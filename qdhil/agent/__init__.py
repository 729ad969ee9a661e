"""The check at the point of install: what a device is, where its attestation lies, and whether an image may go on."""
