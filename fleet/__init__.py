"""The models and replicas there are, how to watch and change them, and their messages."""
