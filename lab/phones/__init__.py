"""Real SIP phones for demo and tests: they register, call, are called, and know by tones whom they hear."""

from lab.phones.behaviour import Answer, Behaviour, Ignore, Invite, Redirect, Reject, Ring
from lab.phones.call import Call, State
from lab.phones.farm import Farm
from lab.phones.phone import Phone, RegistrationRefusedError

__all__ = [
    "Answer", "Behaviour", "Call", "Farm", "Ignore", "Invite", "Phone", "Redirect", "RegistrationRefusedError",
    "Reject", "Ring", "State",
]  # fmt: skip
