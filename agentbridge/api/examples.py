"""Examples for the OpenAPI document: one small centre, with the agent ana and the queue sales.

A test holds each to its schema.
"""

from __future__ import annotations

from typing import Any

from agentbridge.api.models.calls import PastCall

QUEUES = {"sales": 0, "support": 5}
TEAMS = ["morning"]
MODULES = ["voice", "chat"]
CHANNEL = {"capacity": 3, "auto_answer": True, "auto_answer_delay": 2}
CREATED, BEGAN, ANSWERED, ENDED = (
    "2026-11-02T08:00:00+00:00",
    "2026-11-27T09:14:02+00:00",
    "2026-11-27T09:14:09+00:00",
    "2026-11-27T09:18:41+00:00",
)
STATUS: dict[str, Any] = {
    "logged_in": True,
    "paused": False,
    "pause_reason": None,
    "telephone": None,
    "wanted_at": CREATED,
    "applied_at": CREATED,
    "error": None,
    "pending": False,
    "paused_queues": [],
}
SUMMARY = {
    "username": "ana",
    "full_name": "Ana Rossi",
    "alias": "Ana",
    "email": "ana@example.com",
    "internal": "1001",
    "typology": "webrtc",
    "description": "",
    "hot_desk": False,
    "deactivated": False,
    "locked": False,
    "queues": ["sales", "support"],
    "teams": TEAMS,
    "logged_in": True,
    "paused": False,
    "pause_reason": None,
    "telephone": None,
}
CALL = {
    "id": "1764234842.17",
    "linkedid": "1764234842.15",
    "agent": "ana",
    "internal": "1001",
    "direction": "in",
    "queue": "sales",
    "number": "0451234567",
    "name": "",
    "rang_at": BEGAN,
    "answered_at": ANSWERED,
    "held_at": None,
    "recording": "running",
    "parts": [1],
    "node": "pbx1",
    "stale": False,
}
PAST_CALL = {name: CALL[name] for name in CALL if name in PastCall.model_fields}
QUEUE = {"name": "sales", "channel": "voice", "description": "Orders"}
TEAM = {"name": "morning", "description": "6 to 14 h"}
TELEPHONE = {"name": "desk7", "description": "By the window", "registered": True, "agent": None, "available": True}
USER = {
    "username": "lead",
    "role": "user",
    "agents_permission": True,
    "may_spy": False,
    "download_recordings": True,
    "queues": ["sales"],
}
SETTINGS = {
    "internal_from": 1000,
    "internal_to": 1999,
    "strict_full_name": False,
    "security_suite": True,
    "lock_after": 10,
    "mask_characters": 4,
    "screen_recording_path": "",
}
TOKEN = {
    "id": "k3v9x2pq",
    "name": "crm",
    "scopes": ["read", "sessions"],
    "created_by": "boss",
    "created_at": CREATED,
    "expires_at": "2027-11-02T08:00:00+00:00",
    "used_at": None,
}

OBJECTS: dict[str, Any] = {
    # people
    "Credentials": {"username": "ana", "password": "correct-Horse-7"},
    "Session": {"kind": "agent", "name": "ana", "roles": ["agent"], "scopes": None},
    "NewPassword": {"password": "correct-Horse-7"},
    "OwnPassword": {"old": "correct-Horse-7", "password": "battery-Staple-8"},
    "ResetRequest": {"email": "ana@example.com"},
    "NewUser": {"username": "lead", "role": "user", "agents_permission": True},
    "UserFields": {"download_recordings": True},
    "User": USER,
    "NewToken": {"name": "crm", "scopes": ["read", "sessions"], "expires_at": "2027-11-02T08:00:00Z"},
    "Token": TOKEN,
    "TokenOnce": TOKEN | {"token": "ab_k3v9x2pq_" + "x" * 43},
    # agents
    "NewAgent": {"username": "ana", "full_name": "Ana Rossi", "typology": "webrtc", "queues": QUEUES, "teams": TEAMS},
    "AgentFields": {"alias": "Ana", "record_calls": "wav"},
    "AgentSummary": SUMMARY,
    "Agent": {name: value for name, value in SUMMARY.items() if name not in STATUS}
    | {
        "created_at": CREATED,
        "password_changed_at": None,
        "has_avatar": False,
        "queues": QUEUES,
        "own_queues": {"sales": 0},
        "teams": TEAMS,
        "modules": MODULES,
        "channels": {"chat": CHANNEL},
        "transport": ["wss"],
        "codecs": ["opus", "ulaw"],
        "record_calls": "wav",
        "status": STATUS,
    },
    "Usernames": {"usernames": ["ana", "ben"]},
    "Login": {"telephone": "desk7"},
    "Pause": {"reason": "lunch"},
    "Number": {"number": "0451234567"},
    "Switch": {"on": True},
    "Applied": {"changed": True, "applied_at": ANSWERED},
    "Applied 202": {"changed": True, "pending": True},
    "Changed": {"changed": True},
    "Deleted": {"deleted": 2},
    "Imported": {
        "created": 0,
        "errors": [{"line": 3, "detail": "username: is taken by another agent"}],
    },
    # an agent's own
    "Me": {
        "username": "ana",
        "full_name": "Ana Rossi",
        "alias": "Ana",
        "internal": "1001",
        "typology": "webrtc",
        "hot_desk": False,
        "has_avatar": False,
        "client_log": False,
        "client_log_level": "error",
        "record_calls": "wav",
        "record_made_calls": False,
        "manual_recording": True,
        "may_call": True,
        "may_spy": False,
        "forward_allowed": False,
        "forward_to": "",
        "modules": MODULES,
        "queues": [{"name": "sales", "channel": "voice", "penalty": 0, "paused": False, "pause_reason": None}],
        "status": STATUS,
    },
    "Profile": {
        "typology": "webrtc",
        "auto_answer": False,
        "auto_answer_delay": 0,
        "manual_recording": True,
        "dtmf_tones": True,
        "dnd_in_pause": True,
        "sip_expires": 3600,
        "client_log": False,
        "client_log_level": "error",
        "prefix_required": True,
        "prefixes": [{"prefix": "9", "label": "Head office"}],
    },
    "PickableTelephone": {
        "name": "desk7",
        "description": "By the window",
        "available": True,
        "mine": False,
        "reason": None,
    },
    "Colleague": {
        "username": "ben",
        "name": "Ben",
        "internal": "1002",
        "logged_in": True,
        "paused": False,
        "state": "ready",
    },
    "SipSessionWish": {"page": "tab-1", "again": False},
    "SipSession": {
        "uri": "sip:1001@pbx.example.com",
        "display_name": "Ana",
        "username": "1001",
        "realm": "agentbridge",
        "ha1": "0123456789abcdef0123456789abcdef",
        "wss": "wss://pbx.example.com/ws",
        "ice_servers": [],
        "expires": 3600,
        "applied": True,
    },
    "Kept": {"on": True, "level": "info", "kept": 12},
    # calls
    "MyCalls": {"items": [CALL], "today": [PAST_CALL | {"ended_at": ENDED, "missed": False}]},
    "RecordingWish": {"state": "paused"},
    "MyRecordingWish": {"state": "paused"},
    "Spy": {"mode": "listen"},
    "Asked": {"id": 812, "state": "asked"},
    "RequestResult": {
        "id": 812,
        "verb": "dial",
        "username": "ana",
        "state": "done",
        "node": "pbx1",
        "result": None,
        "reason": "",
        "asked_at": BEGAN,
        "deadline": ANSWERED,
        "finished_at": ANSWERED,
    },
    # records
    "NewQueue": {"name": "sales", "description": "Orders"},
    "QueueFields": {"description": "Orders and returns"},
    "QueueSummary": QUEUE | {"members": 12},
    "Queue": QUEUE | {"created_at": CREATED, "members": {"ana": 0}, "teams": {"morning": 5}},
    "NewTeam": TEAM,
    "TeamFields": {"description": "6 to 15 h"},
    "TeamSummary": TEAM | {"members": 8, "queues": 2},
    "Team": TEAM | {"members": ["ana", "ben"], "queues": QUEUES},
    "NewTelephone": {"name": "desk7", "description": "By the window"},
    "TelephoneFields": {"description": "By the door"},
    "TelephoneSummary": TELEPHONE,
    "Telephone": TELEPHONE | {"created_at": CREATED, "transport": ["udp"], "codecs": ["ulaw", "alaw"]},
    "SettingFields": {"lock_after": 10},
    "Settings": SETTINGS,
    "PauseReason": {"name": "lunch", "position": 1},
    "NewPrefix": {"prefix": "9", "label": "Head office"},
    "PrefixFields": {"label": "Branch"},
    "Prefix": {"prefix": "9", "label": "Head office"},
    # what is looked at
    "Nodes": {
        "items": [
            {
                "node": "pbx1",
                "version": "0.2.0",
                "alive": True,
                "asterisk_up": True,
                "state": "up",
                "trouble": "",
                "pending": 0,
                "failed": 0,
                "queues": 2,
                "members": 24,
                "devices": 0,
            }
        ]
    },
    "Plan": {"pending": ["ana"], "failed": [{"node": "pbx1", "key": "1002", "error": "codecs: …"}], "refused": []},
    "Confirmation": {"node": "pbx1"},
    "Confirmed": {"confirmed": 1},
    "AuditLine": {
        "id": 4711,
        "at": BEGAN,
        "actor": "boss",
        "action": "plan.confirm",
        "object": "pbx1",
        "detail": None,
    },
    "RecordingRow": {
        "id": 93,
        "node": "pbx1",
        "username": "ana",
        "internal": "1001",
        "linkedid": "1764234842.15",
        "part": 1,
        "format": "wav",
        "started_at": ANSWERED,
        "ended_at": ENDED,
        "bytes": 4352044,
    },
    "Interaction": {"username": "ana", "interaction": "chat-58213", "follow_up": False},
    "Granted": {"granted": True, "auto_answer": True, "auto_answer_delay": 2, "in_hand": 1, "capacity": 3},
}
"""schema → an object of it; with a status after it one of that answer"""

BODIES: dict[str, Any] = {
    "agents.queues.set": QUEUES,
    "agents.queues.set 200": QUEUES,
    "agents.queues.read 200": QUEUES,
    "agents.teams.set": TEAMS,
    "agents.teams.set 200": TEAMS,
    "agents.teams.read 200": TEAMS,
    "agents.modules.set": MODULES,
    "agents.modules.set 200": MODULES,
    "agents.modules.read 200": MODULES,
    "agents.import": 'username,full_name,typology,queues\r\nana,Ana Rossi,webrtc,"sales,support:5"\r\n',
    "me.client-log": '{"level": "warning", "message": "the microphone is away"}\n',
    "agents.channels.set": {"chat": CHANNEL},
    "agents.channels.set 200": {"chat": CHANNEL},
    "agents.channels.read 200": {"chat": CHANNEL},
    "me.queues 200": QUEUES,
    "me.teams 200": TEAMS,
    "me.modules 200": MODULES,
    "me.channels 200": {"chat": CHANNEL},
    "teams.queues.set": QUEUES,
    "teams.queues.set 200": QUEUES,
    "users.queues.set": ["sales"],
    "users.queues.set 200": ["sales"],
}
"""operation → its body, and operation and status → its answer, where the schema has no name"""
