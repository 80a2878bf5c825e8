"""HTTP/1.1 in: connections to calls, for the door.

uvicorn opens the sockets, starts and stops (`server`); the protocol it is given (`connection`) is ours, on httptools
(llhttp). It speaks to the door directly rather than through ASGI, on the event loop's own thread, because that is
measurably faster (docs/decisions/001), and because it then knows at once when a caller goes away and when one reads too
slowly.

A connection carries one exchange at a time, a `call` with its `body`; requests that are sent ahead wait their turn.
Protocol: RFC 9112. Not spoken: upgrades, HTTP/2 (put a proxy in front).
"""

from hanok.gateway.http.call import Call, Handle, Header, Tape, no_headers
from hanok.gateway.http.server import HttpServer

__all__ = ["Call", "Handle", "Header", "HttpServer", "Tape", "no_headers"]
