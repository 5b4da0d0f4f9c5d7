"""The configuration: TOML below systemd's credential files below the environment, every key checked.

`load` is the way in. Each field's docstring gives its unit and its reason; config/agentbridge.toml shows
all of them with their defaults.
"""

from __future__ import annotations

import os
import socket
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlencode, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from agentbridge.call_settings import Recording
from agentbridge.errors import ConfigError
from agentbridge.phone_settings import HotDesk, Phone
from agentbridge.settings_errors import details, told

DEFAULT_PATH = Path("/etc/agentbridge/agentbridge.toml")
PREFIX = "AGENTBRIDGE_"
CREDENTIALS = {
    "ami_secret": ("ami", "secret"),
    "ari_secret": ("ari", "secret"),
    "database_password": ("database", "password"),
}
"""file in $CREDENTIALS_DIRECTORY → the key that it sets"""

Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
Port = Annotated[int, Field(ge=1, le=65535)]


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError("must be an absolute path: the daemon runs in another folder than you do")
    return path


def _one_line(text: SecretStr) -> SecretStr:
    value = text.get_secret_value()
    if not value or not value.isprintable():
        raise ValueError("must be printable text of at least one character")
    return text


def _postgresql(dsn: SecretStr) -> SecretStr:
    if urlsplit(dsn.get_secret_value()).scheme not in ("postgresql", "postgres"):
        raise ValueError("must be as in postgresql://user@host:port/name")
    return dsn


Dsn = Annotated[SecretStr, AfterValidator(_postgresql)]
SecretFile = Annotated[Path, AfterValidator(_absolute)]
Secret = Annotated[SecretStr, AfterValidator(_one_line)]


class _Group(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )

    def _read_secret(self, key: str) -> None:
        """Takes `key` from the file that `<key>_file` names, unless it was given directly."""
        file: Path | None = getattr(self, f"{key}_file")
        if getattr(self, key) is not None or file is None:
            return
        try:
            secret = _one_line(SecretStr(_first_line(file)))
        except ValueError as error:
            raise _refuse(f"{key}_file", f"{file} {error}") from None
        object.__setattr__(self, key, secret)  # frozen for everybody after this


class _Account(_Group):
    """A log-in that can't be without its secret; `section` is its name in the file."""

    section: ClassVar[str]
    secret: Secret | None = None
    secret_file: SecretFile | None = None

    @model_validator(mode="after")
    def _checked(self) -> Self:
        self._read_secret("secret")
        if self.secret is None:
            raise _refuse(
                "secret",
                f"is missing: set {self.section}.secret_file, the credential {self.section}_secret or "
                f"{PREFIX}{self.section.upper()}__SECRET",
            )
        return self

    def password(self) -> str:
        """For the log-in alone, never for a message."""
        return self.secret.get_secret_value() if self.secret else ""


class Node(_Group):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = Field(default_factory=socket.gethostname)
    """Which Asterisk this daemon serves; unique among all daemons of one database. Default: the host's name."""


class Database(_Group):
    dsn: Dsn = SecretStr("postgresql://agentbridge@127.0.0.1/agentbridge")
    """Where the directory is, `postgresql://user@host:port/name`. Keep the password out of it."""
    password: Secret | None = None
    """Better given as credential `database_password`, `password_file` or AGENTBRIDGE_DATABASE__PASSWORD."""
    password_file: SecretFile | None = None
    """A file with nothing but the password."""
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
        self._read_secret("password")
        return self

    def url(self) -> str:
        """The DSN with the password in it: for the driver alone, never for a message."""
        dsn = self.dsn.get_secret_value()
        if self.password is None:
            return dsn
        password = urlencode({"password": self.password.get_secret_value()})
        return f"{dsn}{'&' if '?' in dsn else '?'}{password}"


class Ami(_Account):
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


class Ari(_Account):
    section = "ari"
    url: Annotated[str, Field(pattern=r"^https?://[^/?#\s]+(/[^?#\s]*)?$")] = "http://127.0.0.1:8088/ari"
    """Where ARI answers: http.conf's address, port and prefix, then /ari."""
    username: str = "agentbridge"
    """The section of ari.conf; it must not be read_only."""
    secret: Secret | None = None
    """Better given as credential `ari_secret`, `secret_file` or AGENTBRIDGE_ARI__SECRET."""
    secret_file: SecretFile | None = None
    """A file with nothing but the secret."""
    deadline_seconds: Seconds = 10.0
    """Seconds for one request in all."""


class Sip(_Group):
    realm: Annotated[str, Field(pattern=r'^[^"\\:\s]+$')] = "asterisk"
    """Part of every stored digest: `default_realm` of pjsip.conf; changing it changes every digest."""
    qualify_seconds: Annotated[int, Field(ge=0, le=3600)] = 0
    """Seconds between Asterisk's OPTIONS to each registered phone; 0 is never, which is what phones behind
    no NAT need."""


class Limits(_Group):
    removals_share: Annotated[float, Field(ge=0, le=1)] = 0.3
    """A plan that removes more than this share of what is in Asterisk waits for a confirmation."""
    removals_at_least: Annotated[int, Field(ge=0, le=1_000_000)] = 20
    """Fewer removals than this are never refused: a small centre's evening is no accident."""


class Pace(_Group):
    ceiling: Annotated[int, Field(ge=10, le=450)] = 300
    """Tasks waiting in Asterisk above which the writer stops; at 500 Asterisk drops new calls."""


class Resync(_Group):
    seconds: Annotated[float, Field(ge=1, le=86400, allow_inf_nan=False)] = 60.0
    """Seconds between full comparisons of directory and Asterisk: how soon an unseen change is mended."""


class Log(_Group):
    format: Literal["auto", "console", "logfmt", "json"] = "auto"
    """`auto` is console on a terminal, else logfmt."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least grave level that is written."""


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        hide_input_in_errors=True,
        nested_model_default_partial_update=True,
    )

    node: Node = Field(default_factory=Node)
    database: Database = Field(default_factory=Database)
    ami: Ami = Field(default_factory=Ami)
    ari: Ari = Field(default_factory=Ari)
    sip: Sip = Field(default_factory=Sip)
    limits: Limits = Field(default_factory=Limits)
    pace: Pace = Field(default_factory=Pace)
    resync: Resync = Field(default_factory=Resync)
    log: Log = Field(default_factory=Log)
    recording: Recording = Field(default_factory=Recording)
    hot_desk: HotDesk = Field(default_factory=HotDesk)
    phone: Phone = Field(default_factory=Phone)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del dotenv_settings, file_secret_settings
        return env_settings, _Credentials(settings_cls), init_settings


def chosen_path(given: Path | None = None) -> Path:
    """`--config`, else AGENTBRIDGE_CONFIG, else /etc."""
    return given or Path(os.environ.get(f"{PREFIX}CONFIG") or DEFAULT_PATH)


def load(path: Path) -> Settings:
    """Raises ConfigError with one line for each wrong key, as `section.key: rule`; never with a value."""
    content = read_toml(path)
    try:
        # an absent section must be validated too, or its missing secret would go unnoticed
        return Settings(**{name: content.pop(name, {}) for name in Settings.model_fields}, **content)
    except ValidationError as error:
        raise ConfigError("\n".join(f"{path}: {told(Settings, detail)}" for detail in details(error))) from None
    except SettingsError as error:
        raise ConfigError(f"{path}: {error}: use AGENTBRIDGE_SECTION__KEY, with two underscores") from None


def read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; copy config/agentbridge.toml there") from None
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 at byte {error.start}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from None


def secrets_in(content: Mapping[str, Any]) -> list[str]:
    """The keys of a config file's content that hold a secret, as `section.key`."""
    found = [f"{group}.{key}" for group, key in CREDENTIALS.values() if content.get(group, {}).get(key)]
    if urlsplit(str(content.get("database", {}).get("dsn", ""))).password:
        found.append("database.dsn")
    return found


# ---------------------------------------------------------------- secrets


class _Credentials(PydanticBaseSettingsSource):
    """What systemd's LoadCredential put into $CREDENTIALS_DIRECTORY."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        del field
        return self().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return _credentials()


def _credentials() -> dict[str, dict[str, str]]:
    if not (folder := os.environ.get("CREDENTIALS_DIRECTORY")):
        return {}
    found: dict[str, dict[str, str]] = {}
    for name, (group, key) in CREDENTIALS.items():
        file = Path(folder, name)
        # an empty one is the unit's stand-in for a file that is not there
        if file.exists() and (secret := _credential(file)):
            found.setdefault(group, {})[key] = secret
    return found


def _credential(file: Path) -> str:
    try:
        return _first_line(file)
    except ValueError as error:
        raise ConfigError(f"{file}: {error}") from None


def _first_line(file: Path) -> str:
    try:
        return file.read_text("utf-8").strip("\r\n")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    except OSError as error:
        raise ValueError(f"can't be read: {error.strerror}") from None


def _refuse(key: str, rule: str) -> ValueError:
    return ValueError(f"{key}: {rule}")
