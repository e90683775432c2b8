"""The 61 fields that every header block may point at (RFC 7541, Appendix A). Pure."""

__all__ = ["STATIC"]

_NAMES_AND_VALUES = """
:authority
:method GET
:method POST
:path /
:path /index.html
:scheme http
:scheme https
:status 200
:status 204
:status 206
:status 304
:status 400
:status 404
:status 500
accept-charset
accept-encoding gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate
"""


def _fields() -> tuple[tuple[bytes, bytes], ...]:
    lines = _NAMES_AND_VALUES.strip().encode().split(b"\n")
    return tuple((name, value) for name, _, value in (line.partition(b" ") for line in lines))


STATIC = _fields()
"""The first has index 1."""
