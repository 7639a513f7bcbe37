"""The certificates of a whole platform: what its servers show, and what its own clients go by."""

from collections.abc import Mapping

from pullarm.domain.errors import ConfigurationError
from pullarm.tls import CLIENT, SERVER, SERVER_NAME, Tls, Trust, introduce

CERTIFICATES = (*SERVER, *CLIENT, SERVER_NAME)


def settled(environment: Mapping[str, str], host: str) -> dict[str, str]:
    """The settings for every process and command of a platform that listens on this host; empty ones without TLS.

    The name that clients ask for is the host, where the certificate is for it, else the first it is for: they are here,
    wherever those are whom the certificate convinces. Raises ConfigurationError where they would not be let in.
    """
    tls = Tls.from_environment(environment)
    if tls is None:  # whom the user believes elsewhere is nothing to servers that speak without
        return dict.fromkeys(CERTIFICATES, "")
    trust = Trust.from_environment(environment) or Trust()
    names = introduce(tls, trust)
    name = trust.name or next(
        (each for each in sorted(names, key=lambda each: each != host) if "*" not in each), ""
    )
    if not name:
        told = ", ".join(names) or "no name at all"
        raise ConfigurationError(
            f"{SERVER[0]} is for {told}; say in {SERVER_NAME} what this machine's own clients ask for"
        )
    paths = zip((*SERVER, *CLIENT), (*tls, *trust[:3]), strict=True)
    return {each: str(path.absolute()) if path else "" for each, path in paths} | {
        SERVER_NAME: name
    }
