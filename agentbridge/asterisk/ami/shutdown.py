"""That Asterisk refuses every action since it is shutting down, as all links to it have to know.

`core restart gracefully` waits for the end of all calls, perhaps for an hour; `core abort shutdown` takes it back. In
between each action is refused and leaves a line of level ERROR in Asterisk's log, while the links stay up. There is no
event for either, so that one of the links asks, by a Ping at intervals, and nobody else sends anything.
"""

from __future__ import annotations

from collections.abc import Callable

from agentbridge.errors import Refused, Unavailable

_WORDS = "Asterisk is shutting down"
PROBE_SECONDS = 1.0


class Shutdown:
    """Whether this Asterisk is shutting down and so refuses every action, as `core stop gracefully` makes it during
    calls.

    `pending` from the first refusal until an action is accepted again; then `on_over` is called.
    """

    def __init__(self, on_begin: Callable[[str], None], on_over: Callable[[], None]) -> None:
        self._on_begin = on_begin
        self._on_over = on_over
        self.pending = False

    def check(self) -> None:
        """Raises Unavailable while Asterisk is shutting down, so that nothing is sent."""
        if self.pending:
            raise Unavailable(_WORDS)

    def raise_if_meant(self, refused: Refused) -> None:
        """Raises Unavailable where the action was refused because Asterisk is shutting down."""
        if not str(refused).endswith(_WORDS):
            return
        if not self.pending:
            self.pending = True
            self._on_begin(_WORDS)
        raise Unavailable(str(refused)) from refused

    def over(self) -> None:
        """Notes that Asterisk takes actions again, or is another one by now."""
        if self.pending:
            self.pending = False
            self._on_over()
