"""The errors of agentbridge, each with a message for the person who reads the log.

There are two fates: what is `Unavailable` comes back, so the caller backs off and tries again;
everything else that is not handled where it happens is a bug or a mistake and is reported.
"""


class AgentbridgeError(Exception):
    """Base class of the errors that agentbridge raises on purpose."""


class ConfigError(AgentbridgeError):
    """The configuration can't be used; the message names the key and the rule."""


class Unavailable(AgentbridgeError):
    """A server can't be reached or did not answer in time; it may come back."""


class Refused(AgentbridgeError):
    """A server, or a rule of the directory, understood the request and refused it; the message gives its reason."""


class InvalidValue(AgentbridgeError):
    """A value can't be sent to Asterisk unchanged; the message names the field and the rule."""
