"""HTTP/1.1 on sockets: asyncio protocols and callbacks, no task per request."""
