"""Holds requests and wakes models; a library inside the gateway process."""
