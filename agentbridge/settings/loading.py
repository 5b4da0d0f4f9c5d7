"""The configuration: TOML below systemd's credential files below the environment, every key checked.

`load` is the way in. Each field's docstring gives its unit and its reason; config/agentbridge.toml shows
all of them with their defaults.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from agentbridge.errors import ConfigError
from agentbridge.settings.api import Api
from agentbridge.settings.credentials import Credentials
from agentbridge.settings.http import Http
from agentbridge.settings.mail import Mail
from agentbridge.settings.node import Limits, Log, Node, Pace, Resync, Sip
from agentbridge.settings.phone import Browser, HotDesk, Phone
from agentbridge.settings.recording import Recording
from agentbridge.settings.section import PREFIX
from agentbridge.settings.servers import Ami, Ari, Database
from agentbridge.settings.wrong import details, error_line

DEFAULT_PATH = Path("/etc/agentbridge/agentbridge.toml")


class _File(BaseSettings):
    """Base class of the settings in one TOML file: credential files override it, the environment overrides both."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        hide_input_in_errors=True,
        nested_model_default_partial_update=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Returns the sources of settings, the one that wins first: environment, credential files, TOML file."""
        del dotenv_settings, file_secret_settings
        return env_settings, Credentials(settings_cls), init_settings


class Settings(_File):
    """All settings: those of the daemon and of the commands that speak with Asterisk."""

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
    browser: Browser = Field(default_factory=Browser)
    phone: Phone = Field(default_factory=Phone)
    mail: Mail = Field(default_factory=Mail)
    http: Http = Field(default_factory=Http)
    api: Api = Field(default_factory=Api)


class ApiSettings(_File):
    """The settings that `agentbridge api` reads from the same file; it needs no secret of Asterisk's."""

    api: Api = Field(default_factory=Api)
    log: Log = Field(default_factory=Log)
    mail: Mail = Field(default_factory=Mail)
    sip: Sip = Field(default_factory=Sip)


class DirectorySettings(_File):
    """The settings of a command that needs the database only, and no secret of Asterisk's."""

    database: Database = Field(default_factory=Database)
    recording: Recording = Field(default_factory=Recording)


def chosen_path(given: Path | None = None) -> Path:
    """Returns the configuration's path: the one given by `--config`, else AGENTBRIDGE_CONFIG, else the default in
    /etc."""
    return given or Path(os.environ.get(f"{PREFIX}CONFIG") or DEFAULT_PATH)


def load(path: Path) -> Settings:
    """Loads all settings. Raises ConfigError with one line for each wrong key, as `section.key: rule`; never with a
    value."""
    return _validate(Settings, path, read_toml(path))


def load_api(path: Path) -> ApiSettings:
    """Loads the settings of `agentbridge api`. Raises ConfigError as `load` does.

    The daemon's sections are not checked; a section that nobody knows is refused.
    """
    return _some(ApiSettings, path)


def load_directory(path: Path) -> DirectorySettings:
    """Loads the settings of a command that needs the database only. Raises ConfigError as `load` does."""
    return _some(DirectorySettings, path)


Loaded = TypeVar("Loaded", Settings, ApiSettings, DirectorySettings)


def _some(model: type[Loaded], path: Path) -> Loaded:
    others = Settings.model_fields.keys() - model.model_fields.keys()
    return _validate(model, path, {name: value for name, value in read_toml(path).items() if name not in others})


def _validate(model: type[Loaded], path: Path, content: dict[str, Any]) -> Loaded:
    """Validates the content of a configuration file. Raises ConfigError with a line for each setting that is wrong."""
    try:
        # an absent section must be validated too, or its missing secret would go unnoticed
        return model(**{name: content.pop(name, {}) for name in model.model_fields}, **content)
    except ValidationError as error:
        raise ConfigError("\n".join(f"{path}: {error_line(model, detail)}" for detail in details(error))) from None
    except SettingsError as error:
        raise ConfigError(f"{path}: {error}: use AGENTBRIDGE_SECTION__KEY, with two underscores") from None


def read_toml(path: Path) -> dict[str, Any]:
    """Parses a TOML configuration file. Raises ConfigError where it can't be read or is no TOML."""
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
