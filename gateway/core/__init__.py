"""What the request path decides. Pure."""
