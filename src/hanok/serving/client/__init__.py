"""HTTP/1.1 to engines: a lean client on httptools, with a pool of kept-alive connections for each endpoint.

One connection carries one exchange at a time. Bytes go from the parser's callbacks straight to whoever reads the body;
when the reader is slower than the engine, the socket is paused. A single sweep a pool enforces all time limits, so no
exchange costs a timer. A connection that is not left exactly at the end of a response is never used again.

A `Pool` writes a request (`request_form`), finds a `connection` for it in its `stock` or opens one, and gives back a
`Response`. Protocol: RFC 9112. Not spoken: pipelining, upgrades, content codings (identity is asked for).
"""

from hanok.serving.client.origin import Origin
from hanok.serving.client.pool import Pool
from hanok.serving.client.response import Response

__all__ = ["Origin", "Pool", "Response"]
