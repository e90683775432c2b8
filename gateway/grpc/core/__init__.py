"""What the gRPC relay decides: header blocks, frames, heads, messages, refusals. Pure."""
