"""The HTTP API, a process of its own: section `[api]`."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator

from agentbridge.errors import ConfigError
from agentbridge.settings.http import Address
from agentbridge.settings.section import Seconds, Secret, SecretFile, Section, refuse
from agentbridge.settings.servers import Dsn, with_password

Place = Annotated[str, Field(pattern=r"^/")]
Pem = Annotated[str, Field(pattern=r"^(/.*)?$")]
Origin = Annotated[str, Field(pattern=r"^https?://[^/\s?#]+$")]


class Api(Section):
    """The process `agentbridge api`: where it listens, its database role, its sessions and its folders."""

    bind: Address = "127.0.0.1:8485"
    """Where `agentbridge api` answers. Over plain HTTP people log in from this machine only: put nginx or Caddy with
    TLS before it, or give it a certificate."""
    dsn: Dsn = SecretStr("postgresql://agentbridge_api@127.0.0.1/agentbridge")
    """The directory, with the role that may call the API's functions and nothing else."""
    password: Secret | None = None
    """Better given as credential `api_database_password`, `password_file` or AGENTBRIDGE_API__PASSWORD."""
    password_file: SecretFile | None = None
    """A file with nothing but the password."""
    pool_size: Annotated[int, Field(ge=2, le=50)] = 8
    """Connections to the database; one more listens."""
    statement_seconds: Seconds = 5.0
    """Seconds for one query; after them the answer is 503."""
    certificate: Pem = ""
    """TLS of its own: a file with the certificate and its chain. Empty: none."""
    private_key: Pem = ""
    """The file with the certificate's key."""
    proxies: list[str] = Field(default_factory=list)
    """Addresses of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed, such as 127.0.0.1."""
    origins: list[Origin] = Field(default_factory=list)
    """Where browsers reach this, as in https://desk.example.com. Empty: what their Host header says."""
    idle_seconds: Annotated[float, Field(ge=60, le=86400)] = 3600.0
    """Seconds without a request after which a person must log in again."""
    session_seconds: Annotated[float, Field(ge=300, le=7 * 86400)] = 16 * 3600.0
    """Seconds after which a person must log in again in any case."""
    spool: Place = "/var/spool/asterisk"
    """Asterisk's spool folder, below which the recordings lie. Needed to replay them."""
    cache: Place = "/var/cache/agentbridge-api"
    """Where recordings in wav49 and gsm are kept as PCM, which browsers play."""
    cache_megabytes: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    """How much that may be; the files not heard for the longest time go first."""
    logs: Place = "/var/log/agentbridge-api"
    """Below it, in client/, are the logs of agents' clients."""
    wss: Annotated[str, Field(pattern=r"^(wss?://\S+)?$")] = ""
    """Where browsers reach Asterisk's websocket. Empty: /ws of the address that they are on."""
    ice_servers: list[Annotated[str, Field(pattern=r"^(stuns?|turns?):\S+$")]] = Field(default_factory=list)
    """STUN and TURN servers for browsers, as in stun:stun.example.com:3478."""

    @model_validator(mode="after")
    def _checked(self) -> Self:
        """Validates the section. Raises ValueError where only one of certificate and key is given."""
        if bool(self.certificate) != bool(self.private_key):
            raise refuse("certificate", "certificate and private_key go together")
        return self

    def url(self) -> str:
        """Returns the DSN with the password in it: for the database driver only, never for a message. Raises
        ConfigError.

        The password's file is read only now: the daemon, which has the same configuration, may be forbidden to read
        it.
        """
        try:
            self._read_secret("password")
        except ValueError as error:
            raise ConfigError(f"api.{error}") from None
        return with_password(self.dsn, self.password)
