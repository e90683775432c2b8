"""Kubernetes as a `Cluster`: raw JSON objects in, an immutable `Fleet` out, few writes back.

Everything that is a decision is pure: `objects` (what is kept of an object) and `snapshot` (the
`Reader` that makes the fleet of them) are the two that the shell needs.
"""
