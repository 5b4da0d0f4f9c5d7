"""The servers that the daemon works with: sections `[database]`, `[ami]` and `[ari]`."""

from __future__ import annotations

from typing import Annotated, Self
from urllib.parse import urlencode, urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from agentbridge.errors import ConfigError
from agentbridge.settings.section import Account, Port, Seconds, Secret, SecretFile, Section, first_line, one_line


def _postgresql(dsn: SecretStr) -> SecretStr:
    """Returns the DSN unchanged. Raises ValueError unless its scheme is PostgreSQL's."""
    if urlsplit(dsn.get_secret_value()).scheme not in ("postgresql", "postgres"):
        raise ValueError("must be as in postgresql://user@host:port/name")
    return dsn


Dsn = Annotated[SecretStr, AfterValidator(_postgresql)]


OWNER_DSN = SecretStr("postgresql://agentbridge@127.0.0.1/agentbridge")


def with_password(dsn: SecretStr, password: SecretStr | None) -> str:
    """Returns the DSN with the password in it: for the database driver only, never for a message."""
    url = dsn.get_secret_value()
    if password is None:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode({'password': password.get_secret_value()})}"


class Database(Section):
    """The PostgreSQL server with the directory, as the daemon and as the commands reach it."""

    dsn: Dsn = SecretStr("postgresql://agentbridge_daemon@127.0.0.1/agentbridge")
    """Where the directory is, `postgresql://user@host:port/name`, by the daemon's role. Keep the password out of it."""
    password: Secret | None = None
    """Better given as credential `database_password`, `password_file` or AGENTBRIDGE_DATABASE__PASSWORD."""
    password_file: SecretFile | None = None
    """A file with nothing but the password."""
    owner_dsn: Dsn | None = None
    """The same for commands, by the schema's owner. Default: `dsn` if that is set, else the role agentbridge there."""
    owner_password_file: SecretFile | None = None
    """A file with nothing but the owner's password; the daemon never reads it."""
    connect_seconds: Seconds = 5.0
    """Seconds to connect before the database counts as gone."""
    statement_seconds: Seconds = 5.0
    """Seconds for one query; also how soon a hung database is noticed."""
    poll_seconds: Seconds = 5.0
    """Seconds between looks for changes without a notification: what a lost one costs at most."""
    probe_seconds: Seconds = 5.0
    """Seconds between probes of the listening connection, which a hung server does not end by itself."""
    pool_size: Annotated[int, Field(ge=1, le=50)] = 4
    """Connections for reading and writing; one more listens and one holds the lock of the node."""

    @model_validator(mode="after")
    def _checked(self) -> Self:
        """Validates: sets the password from its file where it was not given. Raises ValueError where that can't be
        read."""
        self._read_secret("password")
        return self

    def url(self) -> str:
        """Returns the DSN with the password in it: for the database driver only, never for a message."""
        return with_password(self.dsn, self.password)

    def owner_url(self) -> str:
        """Returns the DSN of the schema's owner, with the password, for commands that administer the database.

        Raises ConfigError when the password's file can't be read.
        """
        if self.owner_dsn is None and "dsn" in self.model_fields_set:
            return self.url()
        password = None
        if self.owner_password_file is not None:
            try:
                password = one_line(SecretStr(first_line(self.owner_password_file)))
            except ValueError as error:
                file = self.owner_password_file
                raise ConfigError(f"database.owner_password_file: {file} {error}") from None
        return with_password(self.owner_dsn or OWNER_DSN, password)


def _ari_url(url: str) -> str:
    """Returns the URL unchanged. Raises ValueError where it holds a user or password."""
    if "@" in url:
        raise ValueError("must hold no user and password: they are ari.username and ari.secret")
    return url


AriUrl = Annotated[str, Field(pattern=r"^https?://[^/?#\s]+(/[^?#\s]*)?$"), AfterValidator(_ari_url)]


class Ami(Account):
    """Where and with which login Asterisk's manager interface (AMI) is reached."""

    section = "ami"
    host: str = "127.0.0.1"
    """Where Asterisk's manager listens. AMI is not encrypted and as good as root: stay on this machine."""
    port: Port = 5038
    """`port` in manager.conf."""
    username: str = "agentbridge"
    """The section of manager.conf; config/asterisk/manager.conf has it with the permissions needed."""
    secret: Secret | None = None
    """Better given as credential `ami_secret`, `secret_file` or AGENTBRIDGE_AMI__SECRET."""
    secret_file: SecretFile | None = None
    """A file with nothing but the secret."""


class Ari(Account):
    """Where and with which login Asterisk's REST interface (ARI) is reached."""

    section = "ari"
    url: AriUrl = "http://127.0.0.1:8088/ari"
    """Where ARI answers: http.conf's address, port and prefix, then /ari."""
    username: str = "agentbridge"
    """The section of ari.conf; it must not be read_only."""
    secret: Secret | None = None
    """Better given as credential `ari_secret`, `secret_file` or AGENTBRIDGE_ARI__SECRET."""
    secret_file: SecretFile | None = None
    """A file with nothing but the secret."""
    deadline_seconds: Seconds = 10.0
    """Seconds for one request in all."""
