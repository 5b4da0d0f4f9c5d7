"""The settings: what is configured in TOML, credential files and the environment. `load` is the way in."""

from agentbridge.settings.api import Api
from agentbridge.settings.credentials import secrets_in
from agentbridge.settings.http import Http
from agentbridge.settings.loading import (
    ApiSettings,
    DirectorySettings,
    Settings,
    chosen_path,
    load,
    load_api,
    load_directory,
    read_toml,
)
from agentbridge.settings.mail import Mail
from agentbridge.settings.node import Limits, Log, Node, Pace, Resync, Sip
from agentbridge.settings.phone import Browser, HotDesk, Phone, PromptName
from agentbridge.settings.recording import Recording
from agentbridge.settings.servers import Ami, Ari, Database

__all__ = [
    "Ami",
    "Api",
    "ApiSettings",
    "Ari",
    "Browser",
    "Database",
    "DirectorySettings",
    "HotDesk",
    "Http",
    "Limits",
    "Log",
    "Mail",
    "Node",
    "Pace",
    "Phone",
    "PromptName",
    "Recording",
    "Resync",
    "Settings",
    "Sip",
    "chosen_path",
    "load",
    "load_api",
    "load_directory",
    "read_toml",
    "secrets_in",
]
