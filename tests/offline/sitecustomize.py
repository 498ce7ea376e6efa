"""Put on a process's path to forbid it every connection that leaves this machine."""

import ipaddress
import sys


def _is_local(host) -> bool:
    if host in ("", "localhost", None):
        return True
    try:
        return ipaddress.ip_address(host.decode() if isinstance(host, bytes) else host).is_loopback
    except ValueError:
        return False


def _forbid_network(event, arguments):
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if not _is_local(host):
        raise ConnectionRefusedError(f"the course runs offline, but something asked for {host!r}")


# An audit hook can not be removed, and sees every library that uses Python's sockets.
sys.addaudithook(_forbid_network)
