"""Secrets from systemd's credential files, which lie between the TOML file and the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from agentbridge.errors import ConfigError
from agentbridge.settings.section import first_line

CREDENTIALS = {
    "ami_secret": ("ami", "secret"),
    "ari_secret": ("ari", "secret"),
    "database_password": ("database", "password"),
    "mail_password": ("mail", "password"),
    "api_database_password": ("api", "password"),
}
"""file in $CREDENTIALS_DIRECTORY → the key that it sets"""


class Credentials(PydanticBaseSettingsSource):
    """A source of settings for pydantic: the secrets that systemd's LoadCredential put into $CREDENTIALS_DIRECTORY."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        del field
        return self().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return {group: keys for group, keys in _credentials().items() if group in self.settings_cls.model_fields}


def _credentials() -> dict[str, dict[str, str]]:
    """Returns the secrets that systemd has put into the unit's credentials folder, by section and key."""
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
    """Returns the secret in a credential file. Raises ConfigError where it can't be read."""
    try:
        return first_line(file)
    except ValueError as error:
        raise ConfigError(f"{file}: {error}") from None


def secrets_in(content: Mapping[str, Any]) -> list[str]:
    """Returns the keys of a configuration file's content that hold a secret, each as `section.key`."""
    found = [f"{group}.{key}" for group, key in CREDENTIALS.values() if content.get(group, {}).get(key)]
    database = content.get("database", {})
    found += [f"database.{key}" for key in ("dsn", "owner_dsn") if urlsplit(str(database.get(key, ""))).password]
    return found
