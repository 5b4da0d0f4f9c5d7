"""Which release of Asterisk brought what: what tests know, from its change logs, and agentbridge asks Asterisk for."""

import re
from typing import Final

DIGEST: Final = "password_digest"
ADD_REASON: Final = "Reason of QueueAdd"
CODEC_ORDER: Final = "outgoing_call_offer_pref"
MUTES_ONE: Final = "MixMonitorMute by MixMonitorID"
DROPS_DIGITS: Final = "digits of a listening telephone are dropped"
SINCE: Final = {
    DIGEST: ((20, 12), (21, 7), (22, 2), (23, 0)),
    ADD_REASON: ((20, 12), (21, 7), (22, 2), (23, 0)),
    CODEC_ORDER: ((18, 0),),
    MUTES_ONE: ((18, 18), (20, 3)),
    # the first that were tried; missing on 16.28 and 20.6
    DROPS_DIGITS: ((20, 20), (22, 10), (23, 4)),
}
"""the first release of each branch that has it; a branch between two that are named has it not"""


def says_whether_digits_drop(version: str) -> bool:
    """Whether this version tells if it drops the digits of a listening telephone.

    From MUTES_ONE on until DROPS_DIGITS it says nothing, so that `check` says that it could not look.
    """
    return has(version, DROPS_DIGITS) or not has(version, MUTES_ONE)


def has(version: str, feature: str) -> bool:
    """Whether this version of Asterisk has the feature, by its change logs.

    version: such as 22.10.1, or 20.7 for certified 20.7, which is what that is made of.
    """
    found = re.match(r"(\d+)\.(\d+)", version)
    if found is None:
        raise ValueError(f"{version!r} is no version of Asterisk")
    major, minor = int(found[1]), int(found[2])
    first = dict(SINCE[feature])
    return minor >= first[major] if major in first else major > max(first)
