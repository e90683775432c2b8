"""gRPC on sockets: an HTTP/2 frame relay that forwards what it need not understand."""
