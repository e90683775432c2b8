"""Processes on this machine as a cluster: Deployments run without containers."""
