"""What the daemon counts for Prometheus: every metric by name, in one place, without I/O.

The parts of the daemon add to these where something happens; `service/http.py` serves them. Labels have a small fixed
set of values: never an agent, a queue or a number.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()
"""of our own: Python's process-wide registry would bring metrics of other libraries along"""

_FAST = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SLOW = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)

CHANGES_SEEN = Counter(
    "agentbridge_changes_seen_total", "Keys whose change in the directory was seen.", registry=REGISTRY
)
CHANGE_LAG = Histogram(
    "agentbridge_change_lag_seconds",
    "From the commit of a change until the daemon read it; the oldest of each read.",
    buckets=_FAST,
    registry=REGISTRY,
)
CHANGE_APPLY = Histogram(
    "agentbridge_change_apply_seconds",
    "From the daemon's hearing of a change until Asterisk was seen to have it.",
    buckets=_FAST,
    registry=REGISTRY,
)
PENDING_KEYS = Gauge("agentbridge_pending_keys", "Endpoints that are still to be looked at.", registry=REGISTRY)
FAILED_KEYS = Gauge("agentbridge_failed_keys", "Endpoints that Asterisk does not take as wanted.", registry=REGISTRY)
DRIFT_REPAIRED = Counter(
    "agentbridge_drift_repaired_total",
    "Repairs of what somebody else changed in Asterisk, by kind of repair.",
    ["kind"],
    registry=REGISTRY,
)
PASSES = Counter("agentbridge_passes_total", "Passes of the reconcile loop.", registry=REGISTRY)
PACE_WAITS = Counter(
    "agentbridge_pace_waits_total", "Times a write waited for Asterisk's task processors.", registry=REGISTRY
)
TASKPROCESSOR_DEPTH = Gauge(
    "agentbridge_asterisk_taskprocessor_depth",
    "Tasks in the deepest task processor of Asterisk, at the last reading.",
    registry=REGISTRY,
)
AMI_ACTIONS = Counter(
    "agentbridge_ami_actions_total", "Actions sent to Asterisk's manager, by name.", ["action"], registry=REGISTRY
)
LINK_UP = Gauge("agentbridge_link_up", "Whether the link to Asterisk is up, by link.", ["link"], registry=REGISTRY)
LINK_CONNECTS = Counter(
    "agentbridge_link_connects_total",
    "Times the link was made; all but the first are reconnects.",
    ["link"],
    registry=REGISTRY,
)
RESYNC_SECONDS = Histogram(
    "agentbridge_resync_seconds",
    "Full comparisons of directory and Asterisk at once, not little by little.",
    buckets=_SLOW,
    registry=REGISTRY,
)
RECORDINGS = Counter("agentbridge_recordings_total", "Recordings that were started.", registry=REGISTRY)
RECORDINGS_UNMEASURED = Gauge(
    "agentbridge_recordings_unmeasured",
    "Recordings that have ended and whose files can't be looked at.",
    registry=REGISTRY,
)
RECORDINGS_SILENT = Gauge(
    "agentbridge_recordings_silent",
    "Running calls that should be recorded and for which Asterisk writes no file.",
    registry=REGISTRY,
)
SPIES_REFUSED = Counter("agentbridge_spies_refused_total", "Tries to listen that were refused.", registry=REGISTRY)
REQUESTS = Counter(
    "agentbridge_requests_total",
    "Requests about running calls, by verb and result.",
    ["verb", "result"],
    registry=REGISTRY,
)
DATABASE_STATE = Gauge(
    "agentbridge_database_state",
    "1 for the state that the database is in, 0 for the others.",
    ["state"],
    registry=REGISTRY,
)
BUILD_INFO = Gauge("agentbridge_build_info", "1; the version is a label.", ["version"], registry=REGISTRY)

DATABASE_STATES = ("up", "standby", "older", "away")


def link_up(link: str) -> None:
    LINK_UP.labels(link).set(1)
    LINK_CONNECTS.labels(link).inc()


def link_down(link: str) -> None:
    LINK_UP.labels(link).set(0)


def set_database_state(state: str) -> None:
    for each in DATABASE_STATES:
        DATABASE_STATE.labels(each).set(each == state)
