"""Which databases a cluster makes itself, and which the file names. Pure.

The cluster makes one where the file names none; where it names one of the machine that it ran on, which no pod can
reach; and where the cluster's block asks for one. Such an address is not rendered, nor is a password in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs, unquote, urlsplit

from hanok.kubernetes.engines import HERE
from hanok.kubernetes.places import MILVUS
from hanok.spec.tree import Cluster
from hanok.spec.written import VARIABLE, Written

Server = tuple[str, str]
"""A block of the file, and the key in it where an address stands."""
DATABASE: Server = ("ledger", "database")
REDIS = ("ledger", "redis")
RUNS = ("runs", "database")
ANSWERS = ("cache", "redis")
PASSAGES = ("milvus", "uri")
SERVERS: Mapping[Server, str] = {DATABASE: "postgres", REDIS: "redis", PASSAGES: "milvus"}
"""Where the file names a server, and the block of `cluster` that asks for one."""
OF_SERVERS = (*SERVERS, RUNS, ANSWERS)
"""Every place of an address for which the cluster has something, too."""
MILVUS_ONLY = (("milvus", "token"), ("milvus", "db"))
"""Of one server: the cluster's Milvus asks for no password, and has no other database."""


def is_named(written: Written, cluster: Cluster, place: Server) -> bool:
    """Whether the file names a server there that pods can reach, and the cluster asks for no other."""
    text = written.at(place)
    return isinstance(text, str) and not is_asked(cluster, place) and not is_here(written, cluster, place)


def is_asked(cluster: Cluster, place: Server) -> bool:
    """Whether the cluster's block asks for a server in place of whatever the file names."""
    return SERVERS.get(place) in cluster.model_fields_set


def is_here(written: Written, cluster: Cluster, place: Server) -> bool:
    """Whether a server's address is one of the machine that the file ran on."""
    text = written.at(place)
    return isinstance(text, str) and _is_near(filled(text, cluster, secret=place != PASSAGES))


def gives_way(written: Written, cluster: Cluster) -> list[Server]:
    """Blocks and keys that are not rendered: addresses of one machine, or not asked, with what is only said to them."""
    found = [each for each in OF_SERVERS if isinstance(written.at(each), str) and not is_named(written, cluster, each)]
    made = not is_named(written, cluster, PASSAGES) and written.at(PASSAGES) != MILVUS
    return [*found, *((each for each in MILVUS_ONLY if written.at(each) is not None) if made else ())]


def filled(text: str, cluster: Cluster, *, secret: bool = False) -> str:
    """With the values of variables in the cluster, as far as they are known; those of secrets have no default."""
    known = cluster.hanok.variables
    return VARIABLE.sub(lambda found: known.get(found[1], "" if secret else found[2] or ""), text)


def _is_near(address: str) -> bool:
    """By its host; one without a host, or with a path in its place, is a socket of the machine."""
    try:
        parts = urlsplit(address)
        named = parts.hostname or next(iter(parse_qs(parts.query).get("host", [])), "")
    except ValueError:
        return False
    return "://" in address and (parts.scheme == "unix" or named in HERE or not named or unquote(named).startswith("/"))
