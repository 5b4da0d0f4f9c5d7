"""The parts of the daemon, and how they are built: the only place that builds things."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from agentbridge.asterisk.ami.link import Account
from agentbridge.asterisk.ari.channels import Channels
from agentbridge.asterisk.ari.client import Ari
from agentbridge.asterisk.ari.events import AriEvents
from agentbridge.asterisk.calls.watch import CallWatch
from agentbridge.asterisk.node import Node
from agentbridge.asterisk.observed.contacts import ContactListeners
from agentbridge.asterisk.queue_nodes import QueueNodes
from agentbridge.asterisk.trunks import Trunks
from agentbridge.desired.pjsip import SipDefaults
from agentbridge.directory.changes import Changes, Pulse
from agentbridge.directory.lineage import Memory
from agentbridge.directory.live import LiveTables
from agentbridge.directory.locations import LocationStore
from agentbridge.directory.postgres import Directory
from agentbridge.directory.recordings import CallLedger
from agentbridge.directory.requests import RequestDesk
from agentbridge.directory.telephones import PhoneDesk, Telephones
from agentbridge.phone.locations import Locations
from agentbridge.phone.orphans import Orphans
from agentbridge.phone.registrations import Registrations
from agentbridge.phone.service import APP, PhoneService
from agentbridge.plan.limit import Limit
from agentbridge.reconcile.pace import Pace
from agentbridge.reconcile.reconciler import Reconciler
from agentbridge.reconcile.resync import Resync
from agentbridge.service.looks import Looks
from agentbridge.service.relay import Relay
from agentbridge.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """One PostgreSQL, one Asterisk, and everything between them."""

    directory: Directory
    changes: Changes
    node: Node
    reconciler: Reconciler
    resync: Resync
    calls: CallWatch
    requests: RequestDesk
    registrations: Registrations
    locations: Locations
    orphans: Orphans
    queue_nodes: QueueNodes
    trunks: Trunks
    desk: PhoneDesk
    phone: PhoneService
    phone_events: AriEvents


def build(settings: Settings, directory: Directory, ari: Ari) -> Parts:
    """Builds the parts on an open directory and ARI client, and makes them known to one another."""
    relay, looks = Relay(), Looks()
    name, database = settings.node.name, settings.database
    registrations = Registrations(
        Telephones(directory.statement, name),
        settings.hot_desk,
        settings.browser,
        is_telephone=relay.is_telephone,
        active=relay.is_active,
        clock=time.monotonic,
    )
    locations = Locations(LocationStore(directory.statement, name), active=relay.is_active, elsewhere=relay.key_drifted)
    account = Account(
        host=settings.ami.host,
        port=settings.ami.port,
        username=settings.ami.username,
        secret=settings.ami.password(),
    )
    node = Node(account, ari, relay, contacts=ContactListeners(registrations, locations))
    channels = Channels(ari)
    requests = RequestDesk(directory, database.url(), node=name, deadline=database.statement_seconds)
    desk = PhoneDesk(directory.transaction)
    phone = PhoneService(desk, channels, settings.phone)
    relay.parts = looks.parts = Parts(
        directory=directory,
        changes=Changes(
            database.url(),
            node=name,
            listener=relay,
            memory=Memory(_state_file(), time.monotonic),
            pulse=Pulse(poll_seconds=database.poll_seconds, deadline_seconds=database.probe_seconds),
        ),
        node=node,
        reconciler=Reconciler(
            directory,
            node,
            Pace(node.depth, clock=time.monotonic, ceiling=settings.pace.ceiling),
            sip=SipDefaults(
                realm=settings.sip.realm,
                qualify_seconds=settings.sip.qualify_seconds,
                browser_qualify_seconds=settings.browser.qualify_seconds,
            ),
            limit=Limit(share=settings.limits.removals_share, at_least=settings.limits.removals_at_least),
            clock=time.monotonic,
        ),
        resync=Resync(
            looks.at_once,
            looks.through,
            wanted=relay.is_active,
            every=settings.resync.seconds,
            clock=time.monotonic,
        ),
        calls=CallWatch(
            node,
            CallLedger(directory, node=name),
            LiveTables(directory, node=name),
            requests,
            channels,
            active=relay.is_active,
            resume_after=settings.recording.resume_after_seconds,
            settled=relay.is_settled,
        ),
        requests=requests,
        registrations=registrations,
        locations=locations,
        orphans=Orphans(node, active=relay.is_active, clock=time.monotonic),
        queue_nodes=QueueNodes(node, active=relay.is_active),
        trunks=Trunks(node, active=relay.is_active, clock=time.monotonic),
        desk=desk,
        phone=phone,
        phone_events=AriEvents(
            settings.ari.url,
            settings.ari.username,
            settings.ari.password(),
            app=APP,
            wanted=relay.is_active,
            listener=phone,
        ),
    )
    return relay.parts


def _state_file() -> Path | None:
    """In the folder that systemd gives (StateDirectory=); without one the daemon forgets at its end."""
    folder = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    return Path(folder, "database") if folder else None
