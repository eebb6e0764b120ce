"""Which IP addresses are no place on the open internet, also those that are written as IPv6 ones.

Sources:
    https://www.iana.org/assignments/iana-ipv4-special-registry/ (RFC 6890): what is not globally reachable
    https://www.iana.org/assignments/iana-ipv6-special-registry/: the same of IPv6
    https://www.iana.org/assignments/ipv6-address-space/: of IPv6, only 2000::/3 is given to anybody
    https://www.iana.org/assignments/multicast-addresses/: 224.0.0.0/4

Why not `ipaddress.is_global`: it follows another edition of the registries in every patch release of Python,
takes ``192.0.0.192`` and ``64:ff9b:1::a00:1`` for public or not accordingly, and knows of no cloud.
"""

import ipaddress

_IPV4 = ipaddress.IPv4Address
_IPV6 = ipaddress.IPv6Address

NOT_PUBLIC_IPV4 = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",  # this network (RFC 791)
            "10.0.0.0/8",  # private use (RFC 1918)
            "100.64.0.0/10",  # shared address space (RFC 6598); 100.100.100.200 is Alibaba's metadata service
            "127.0.0.0/8",  # loopback (RFC 1122)
            "169.254.0.0/16",  # link-local (RFC 3927); 169.254.169.254 is most clouds' metadata service
            "172.16.0.0/12",  # private use (RFC 1918)
            # IETF protocol assignments (RFC 6890), the anycast services .9 and .10 of one's own network among
            # them; 192.0.0.192 is Oracle's metadata service.
            "192.0.0.0/24",
            "192.0.2.0/24",  # documentation (RFC 5737)
            "192.88.99.0/24",  # 6to4 relays, deprecated (RFC 7526)
            "192.168.0.0/16",  # private use (RFC 1918)
            "198.18.0.0/15",  # benchmarking (RFC 2544)
            "198.51.100.0/24",  # documentation (RFC 5737)
            "203.0.113.0/24",  # documentation (RFC 5737)
            "224.0.0.0/4",  # multicast (RFC 5771)
            "240.0.0.0/4",  # reserved (RFC 1112), and limited broadcast (RFC 8190)
            # An address like any other, which every machine in Azure reaches its host's services by:
            # https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
            "168.63.129.16/32",
        ),
    )
)
"""Blocks of IPv4 that a crawler has no business in."""

PUBLIC_IPV6 = ipaddress.IPv6Network("2000::/3")
"""Global unicast. So loopback, link-local and site-local addresses, unique local ones (those of Amazon's and
Google's metadata services), multicast, 5f00::/16 (segment routing, RFC 9602), 100::/64 (discarded, RFC 6666),
``::127.0.0.1`` (IPv4-compatible, RFC 4291), ``::ffff:0:127.0.0.1`` (IPv4-translated, RFC 2765) and
64:ff9b:1::/48 (translation within a network, RFC 8215) are not in it."""

NOT_PUBLIC_IPV6 = tuple(
    map(
        ipaddress.IPv6Network,
        (
            # IETF protocol assignments (RFC 2928): Teredo, benchmarking, ORCHIDs, DRIP, anycast services of
            # one's own network. Nothing in it is a host that serves pages.
            "2001::/23",
            "2001:db8::/32",  # documentation (RFC 3849)
            "3fff::/20",  # documentation (RFC 9637)
        ),
    )
)
"""Blocks of 2000::/3 that are no place of the internet."""

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")  # RFC 4291, 2.5.5.2: a socket connects to the IPv4 address
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: a gateway connects to it
_6TO4 = ipaddress.IPv6Network("2002::/16")  # RFC 3056: a relay sends to it
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})  # RFC 5214, 6.1: the interface identifier's first half


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open internet, and leads to no other that is not.

    An IPv6 address that holds an IPv4 address (IPv4-mapped, NAT64, 6to4, ISATAP) is as public as that one.
    A prefix for NAT64 that a network has chosen itself (RFC 6052, 2.2) cannot be told by the address alone.

    Args:
        address: as `socket.getaddrinfo` gives it; a zone (``%eth0``) does not matter.

    Raises:
        ValueError: it is no IP address.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, _IPV4):
        return not any(ip in block for block in NOT_PUBLIC_IPV4)
    if ip in _MAPPED or ip in _NAT64:
        return is_public(str(_IPV4(int(ip) & 0xFFFFFFFF)))
    if ip not in PUBLIC_IPV6 or any(ip in block for block in NOT_PUBLIC_IPV6):
        return False
    if ip in _6TO4 and not is_public(str(_IPV4(int(ip) >> 80 & 0xFFFFFFFF))):
        return False
    return (int(ip) >> 32 & 0xFFFFFFFF) not in _ISATAP or is_public(str(_IPV4(int(ip) & 0xFFFFFFFF)))


def is_own_host(host: str) -> bool:
    """Whether a host, by its name alone, is this machine or one of a private network.

    Args:
        host: a name, or an IP address without brackets.
    """
    try:
        return not is_public(host)
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal", ".home.arpa"))
