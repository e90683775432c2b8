"""The processes of a cluster: what they are called with, what they stand on, what they are."""
