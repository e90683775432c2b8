"""Messages between two processes of one machine, over a socket that one inherits from the other.

The clocks of both are one: `Clock.now` is the machine's monotonic clock.
"""
