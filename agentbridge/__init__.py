"""The daemon that makes Asterisk obey a contact centre's agent directory."""

__version__ = "0.2.0"
