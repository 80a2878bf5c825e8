"""Which addresses may be asked. A page on the web may redirect, and a name resolve, to whatever its owner likes.

An IPv6 address that stands for an IPv4 address is judged as both. Link-local, multicast and reserved addresses and
those where clouds tell machines their credentials are never asked; private ones only where that is declared.
Registries: https://www.iana.org/assignments/iana-ipv4-special-registry, …/iana-ipv6-special-registry.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address

_METADATA = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",  # most clouds
        "169.254.170.2",  # AWS, containers
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",  # AWS, pods
        "fd20:ce::254",  # Google Cloud
        "100.100.100.200",  # Alibaba Cloud
        "168.63.129.16",  # Azure
        "192.0.0.192",  # Oracle Cloud
    )
)
_NEVER = tuple(
    ip_network(text) for text in ("0.0.0.0/8", "240.0.0.0/4", "2002::/16", "2001::/32", "64:ff9b:1::/48", "100::/64")
)
_UNICAST = ip_network("2000::/3")
_NAT64 = ip_network("64:ff9b::/96")
_COMPATIBLE = ip_network("::/96")
_LOOPBACK = ip_address("::1")


def refusal_of(text: str, *, private: bool) -> str | None:
    """Why that address is not asked, as "is …"; None when it may be."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return "is no IP address"
    reasons = (_refusal(each, private=private) for each in _stands_for(address))
    return next((reason for reason in reasons if reason), None)


def _stands_for(address: Address) -> Iterator[Address]:
    """The address, or the IPv4 address that it carries to the same machine; behind NAT64 both."""
    if isinstance(address, IPv4Address):
        yield address
    elif address.ipv4_mapped:
        yield address.ipv4_mapped
    else:
        yield address
        if address in _NAT64 or (address in _COMPATIBLE and address != _LOOPBACK):
            yield IPv4Address(int(address) & 0xFFFF_FFFF)


def _refusal(address: Address, *, private: bool) -> str | None:
    if address in _METADATA:
        return "is where a cloud tells machines their credentials"
    if address.is_link_local:
        return "is link-local"
    if address.is_multicast or address.is_unspecified or any(address in network for network in _NEVER):
        return "is no address of one machine"
    if not private and not _is_public(address):
        return "is of a private network"
    return None


def _is_public(address: Address) -> bool:
    if address in _NAT64:
        return True
    return address.is_global and (isinstance(address, IPv4Address) or address in _UNICAST)
