"""The request path: accept, route, forward."""
