"""The mail server of forgotten passwords: section `[mail]`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from agentbridge.errors import ConfigError
from agentbridge.settings.section import PREFIX, Port, Secret, SecretFile, Section, refuse

HERE = frozenset({"localhost", "127.0.0.1", "::1"})
"""hosts to which a password may go in clear text, since it does not leave this machine"""


class Mail(Section):
    """The mail server through which agents get the link with which they set a new password."""

    host: Annotated[str, Field(pattern=r"^[^\s/@]*$", max_length=253)] = ""
    """Where the mail server is. Empty: passwords can't be reset by e-mail."""
    port: Port = 587
    """587 goes with `starttls`, 465 with `tls`, 25 with `none`."""
    encryption: Literal["starttls", "tls", "none"] = "starttls"
    """The link is as good as a password: `none` is for a mail server on this machine. The server's certificate is
    checked against the system's authorities."""
    username: Annotated[str, Field(pattern=r"^[!-~]*$")] = ""
    """Who logs in there. Empty: nobody does."""
    password: Secret | None = None
    """Better given as credential `mail_password`, `password_file` or AGENTBRIDGE_MAIL__PASSWORD."""
    password_file: SecretFile | None = None
    """A file with nothing but the password, for whoever runs `agent reset`."""
    sender: Annotated[str, Field(pattern=r"^([^\s@<>]+@[^\s@<>]+)?$")] = ""
    """The address that the e-mail comes from."""
    link: Annotated[str, Field(pattern=r"^(https?://\S+)?$")] = ""
    """The page that asks for the new password, as in `https://desk.example.com/reset?token={token}`."""

    @model_validator(mode="after")
    def _checked(self) -> Self:
        """Validates the section: nothing is required without `host`. Raises ValueError where something needed is
        missing."""
        if self.host:
            self._complete()
        return self

    def log_in_password(self) -> str:
        """Returns the password of the SMTP login, '' for none: for the login only, never for a message. Raises
        ConfigError.

        Its file is read only now: the daemon, which has the same configuration and sends no mail, may be forbidden to
        read it.
        """
        try:
            self._read_secret("password")
        except ValueError as error:
            raise ConfigError(f"mail.{error}") from None
        password = self.password.get_secret_value() if self.password else ""
        if not password.isascii():
            raise ConfigError("mail.password: must be ASCII; SMTP's login can't carry other characters")
        return password

    def _complete(self) -> None:
        """Raises ValueError, naming the key and the rule, where a mail server is set and something that it needs is
        missing."""
        if not self.sender:
            raise refuse("sender", "is missing; it is needed with mail.host")
        if self.link.count("{token}") != 1:
            raise refuse("link", "must hold {token} once, where the token of the e-mail goes")
        if self.username and self.password is None and self.password_file is None:
            raise refuse(
                "password",
                "is missing: set mail.password_file, the credential mail_password or " + PREFIX + "MAIL__PASSWORD",
            )
        if self.username and self.encryption == "none" and self.host not in HERE:
            raise refuse("encryption", "must be starttls or tls, or the password goes over the network in clear text")
