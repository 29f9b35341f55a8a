"""What it means that a homeserver gave no answer, or not all of it. Pure.

Of what aiohttp raised only a few words of its own are kept: it holds the request, and the token with it.
What can't get better is said at once, as a `HomeserverError`; the rest is an `Again`.
"""

import ssl

import aiohttp

from toolkit.errors import HomeserverError
from toolkit.homeserver.retries import Again


def meaning_of(
    error: Exception, address: str, timeout: aiohttp.ClientTimeout, *, first: bool
) -> HomeserverError | Again:
    """What to raise in place of what the request raised, which had so much time.

    `first`: nothing ever came from there, so that the address itself may be wrong.
    """
    if isinstance(error, ssl.SSLCertVerificationError | aiohttp.ClientConnectorCertificateError):
        return HomeserverError(
            f"The TLS certificate of {address} isn't accepted{_why(error)}; check the address and the "
            "server's certificate. Nothing was read."
        )
    if isinstance(error, ssl.SSLError | aiohttp.ClientSSLError):
        return HomeserverError(_no_tls(error, address))
    if isinstance(error, aiohttp.RedirectClientError):
        return HomeserverError(
            f"{address} sends its callers on to what is no address; check the address."
        )
    if isinstance(error, aiohttp.InvalidURL):
        return no_address(address)
    likely = likely_scheme(address) if first else ""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        seconds = timeout.sock_connect or timeout.total
        silent = likely if address.startswith("https:") else ""
        return Again(f"could not be reached within {seconds:g} s{silent}", slow=True)
    if isinstance(error, TimeoutError):
        return Again(f"gave no whole answer within {timeout.total:g} s")
    if isinstance(error, aiohttp.ClientConnectorError):
        if isinstance(error.os_error, ConnectionResetError):
            return Again(f"broke the connection before it was made{likely}")
        return Again("could not be reached")
    if isinstance(error, aiohttp.TooManyRedirects):
        return Again(f"broke the connection ({type(error).__name__})")
    if isinstance(error, aiohttp.ClientResponseError):
        return Again(f"sent what is no answer of HTTP{likely}")
    return Again(f"broke the connection ({type(error).__name__}){likely}")


def likely_scheme(address: str) -> str:
    """What a port most likely speaks that doesn't speak as the address says."""
    other = "http" if address.startswith("https:") else "https"
    return f", as happens where the port speaks {other}:// instead"


def no_address(address: str) -> HomeserverError:
    """It can't be asked at all."""
    return HomeserverError(
        f"{address!r} is no address of a homeserver; it must look like https://matrix.example.org."
    )


def _no_tls(error: Exception, address: str) -> str:
    if _reason(error) in _NOT_TLS:
        return (
            f"The TLS connection to {address} failed, because that port doesn't speak TLS: most likely "
            "the address must begin with http://, or the port is another one. Nothing was read."
        )
    return (
        f"The TLS connection to {address} failed{_why(error)}; check the address and what TLS the "
        "server speaks. Nothing was read."
    )


def _why(error: Exception) -> str:
    """OpenSSL's own words, which are about the connection alone."""
    told = getattr(getattr(error, "certificate_error", error), "verify_message", "")
    words = told or _reason(error).replace("_", " ").lower()
    return f" ({words.rstrip('.')})" if words else ""


def _reason(error: Exception) -> str:
    """What OpenSSL calls it, also where aiohttp has wrapped that."""
    return getattr(getattr(error, "os_error", error), "reason", None) or ""


_NOT_TLS = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"}
