"""The errors of agentbridge, each with a message for the person who reads the log.

There are two fates: what is `Unavailable` comes back, so the caller backs off and tries again;
everything else that is not handled where it happens is a bug or a mistake and is reported.
"""


class AgentbridgeError(Exception):
    """The base of every error that agentbridge raises on purpose."""


class ConfigError(AgentbridgeError):
    """The configuration can't be used; the message names the key and the rule."""


class Unavailable(AgentbridgeError):
    """A server can't be reached or did not answer in time; it may come back."""


class Refused(AgentbridgeError):
    """A server understood and said no; the message is its own."""


class InvalidValue(AgentbridgeError):
    """A value can't be carried to Asterisk unharmed; the message names the field and the rule."""
