"""What `fewtune serve` is told, checked before anything is opened."""

from __future__ import annotations

import ipaddress
import math
import socket
from dataclasses import dataclass

from fewtune.errors import UserError

_SHORTEST_SECONDS, _LONGEST_SECONDS = 0.01, 3600.0


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """How to serve.

    Attributes:
        host, port: where to listen; port 0 takes a free one.
        token: what a request has to show; empty: nothing.
        no_auth: listen beyond this machine without a token.
        max_batch: inputs that are computed together.
        queue: inputs that may wait; a request that finds more is refused at once.
        deadline_seconds: after so long a request is answered, with what there is to say.
        threads: threads that one computation may use; 0: all cores that this process may use.
        cors: origins whose pages may call the service, such as "https://example.org".
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str = ""
    no_auth: bool = False
    max_batch: int = 32
    queue: int = 256
    deadline_seconds: float = 10.0
    threads: int = 0
    cors: tuple[str, ...] = ()

    def check(self) -> None:
        """Refuse what does not fit together.

        Raises:
            UserError: an option is out of range, or the service would stand open to others without saying so.
        """
        for option, value, least, most in (
            ("--max-batch", self.max_batch, 1, math.inf),
            ("--queue", self.queue, 1, math.inf),
            ("--threads", self.threads, 0, math.inf),
            ("--port", self.port, 0, 65535),
            ("--deadline", self.deadline_seconds, _SHORTEST_SECONDS, _LONGEST_SECONDS),
        ):
            if not least <= value <= most:
                limit = f"{least:g} or more" if most == math.inf else f"{least:g} to {most:g}"
                raise UserError(f"{value:g} is out of range.", where=option, how=f"Give {limit}.")
        for origin in self.cors:
            if origin != "*" and not origin.startswith(("http://", "https://")):
                raise UserError(
                    f"{origin!r} is not an origin.", where="--cors", how="For example: --cors https://example.org"
                )
        self._check_access()

    def _check_access(self) -> None:
        if self.token and self.no_auth:
            raise UserError(
                "A token and --no-auth contradict each other.",
                where="--no-auth",
                how="Leave out one; the token may come from FEWTUNE_TOKEN.",
            )
        if self.token != self.token.strip():
            raise UserError("The token begins or ends with a space.", where="--token", how="Give it without.")
        if not (self.token or self.no_auth or self.is_loopback):
            raise UserError(
                "Others could use the service without a token.",
                where=f"--host {self.host}",
                how="Set FEWTUNE_TOKEN (or --token) to a long random word, or add --no-auth if everyone may use it.",
            )

    @property
    def is_loopback(self) -> bool:
        """Whether only programs on this machine can reach the service."""
        return all(ipaddress.ip_address(address[4][0]).is_loopback for address in self.addresses())

    def addresses(self) -> list[tuple]:
        """What `host` stands for, as `socket.getaddrinfo` gives it.

        Raises:
            UserError: the name or port means nothing.
        """
        try:
            return socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except (OSError, UnicodeError, OverflowError) as error:
            raise UserError(
                f"This is not an address to listen at ({error}).",
                where=f"--host {self.host} --port {self.port}",
                how="For example: --host 127.0.0.1 --port 8000",
            ) from None
