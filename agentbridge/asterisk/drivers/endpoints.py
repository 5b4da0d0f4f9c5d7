"""The driver for PJSIP objects: written by ARI, read in bulk from the AstDB store behind them.

ARI has no request for all objects; the sorcery wizard `astdb` keeps each as JSON in a family of its own,
which AMI reads in one action. Endpoints and auths are only read there: a write would stay invisible behind
Asterisk's cache, and a key deleted there leaves an object that nobody can write or delete any more.

An AOR that is there is written there, and not by ARI: ARI's PUT reads the AOR with the contacts of the phones
that are registered now, and stores these as permanent ones. AORs have no cache, so the change shows at once; the
interval of the OPTIONS (`qualify_frequency`) takes effect at the phone's next REGISTER.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial

import structlog

from agentbridge.asterisk.ami.link import AmiLink
from agentbridge.asterisk.ami.wire import Message
from agentbridge.asterisk.ari.client import Ari
from agentbridge.asterisk.capabilities import Capabilities
from agentbridge.asterisk.drivers.new_aors import NewAors, too_many
from agentbridge.asterisk.drivers.pjsip_fields import (
    FAMILIES,
    NOT_TAKEN_BACK,
    decoded,
    encoded,
    in_words_of,
    object_of,
    stored_aor,
)
from agentbridge.asterisk.observed.contacts import Contacts
from agentbridge.asterisk.observed.objects import ObjectTable
from agentbridge.asterisk.observed.observation import Observation
from agentbridge.errors import Refused, Unavailable
from agentbridge.model import DeleteObject, EndpointId, Fields, ObjectKind, ObservedState, PutObject

log = structlog.get_logger()

SPOILT = "Asterisk can't read it any more: somebody else has written it"

ANSWER_SECONDS = 5.0
BULK_SECONDS = 60.0
"""for a whole read; 10,000 endpoints are 36 MB"""
LISTS = {
    ObjectKind.AUTH: "PJSIPShowAuths",
    ObjectKind.ENDPOINT: "PJSIPShowEndpoints",
}
"""The AMI action that lists the objects which Asterisk can read. Not AORs: it looks for the contacts of each, which
takes a second for 3,000."""
_NOT_OURS = "Cannot update sorcery objects"
"""ARI's answer where an object of that name is in Asterisk's own files"""

_NO_FIELDS: Fields = {}
_UNREADABLE = "Allocation failed"
"""ARI's answer where a hand's PUT has left an endpoint that Asterisk can't copy (set_var, or no codec at all)"""


class Endpoints:
    """Writes PJSIP objects by ARI and reads them in bulk from the AstDB that stores them.

    `apply` returns when Asterisk has the object and finds it.
    """

    def __init__(self, ari: Ari, actions: AmiLink, bulk: AmiLink, seen: Observation, contacts: Contacts) -> None:
        self._ari = ari
        self._capabilities = Capabilities()
        self._actions = actions
        self._bulk = bulk
        self._seen = seen
        self._contacts = contacts
        self._new_aors = NewAors(actions, bulk)
        self._unproven = True
        self._unreadable: set[tuple[ObjectKind, EndpointId]] = set()
        """objects that are stored and that this Asterisk can't read, until they are pushed anew"""
        self._others: dict[ObjectKind, frozenset[EndpointId]] = {}
        self._late: set[EndpointId] = set()
        """AORs whose fixed address was changed beside a registered phone; see `_rewrite`"""

    def connected(self, capabilities: Capabilities) -> None:
        """Takes the capabilities of the Asterisk that was just connected; to be called before the first read of it.

        Another version may read differently what the last one has stored.
        """
        self._capabilities = capabilities
        self.reloaded()

    def reloaded(self) -> None:
        """Makes the next read check that PJSIP has every object that the AstDB has, since Asterisk has read its own
        files anew."""
        self._unproven = True
        self._others.pop(ObjectKind.AOR, None)

    def is_others(self, key: EndpointId) -> bool:
        """Whether Asterisk has an endpoint, AOR or auth of that name by its own files: it can't be pushed."""
        return any(key in names for names in self._others.values())

    async def read_all(self) -> None:
        """Reads all PJSIP objects from the AstDB and, after a reload, proves that PJSIP has them too.

        Raises Unavailable.
        """
        # a reload that comes meanwhile asks for another proof
        proving, self._unproven = self._unproven, False
        try:
            for kind in FAMILIES:
                await self._read_kind(kind, proving=proving and kind in LISTS)
        except BaseException:
            self._unproven = True
            raise

    def reads(self) -> list[Callable[[], Awaitable[None]]]:
        """Returns the reads of the kinds of objects one by one, without a proof; each raises Unavailable."""
        return [partial(self._read_kind, kind, proving=False) for kind in FAMILIES]

    async def _read_kind(self, kind: ObjectKind, *, proving: bool) -> None:
        """Reads all objects of a kind.

        proving: also checks which of them PJSIP could load, and which names Asterisk has from its own files.
        """
        readable = await self._readable(kind) if proving else frozenset()
        found = await self._read(kind, FAMILIES[kind])
        if proving:
            self._unreadable |= {(kind, key) for key in self._untouched(kind, found.keys() - readable)}
            self._others[kind] = self._untouched(kind, readable - found.keys())
        # without fields, so that all of it is pushed again
        for key in [key for of, key in self._unreadable if of is kind and key in found]:
            found.put(key, _NO_FIELDS)
        self._seen.objects_read(kind, found)

    def _untouched(self, kind: ObjectKind, keys: Iterable[EndpointId]) -> frozenset[EndpointId]:
        """Those that nobody of us wrote or deleted between the two lists."""
        return frozenset(key for key in keys if not self._seen.object_touched(kind, key))

    async def _readable(self, kind: ObjectKind) -> frozenset[EndpointId]:
        """Returns the ids of this kind that PJSIP lists.

        After a downgrade the AstDB has values that this version can't parse, and such an object is not there for
        PJSIP.
        """
        names: set[EndpointId] = set()

        def take(item: Message) -> None:
            names.add(EndpointId(item.get("ObjectName")))

        try:
            await self._bulk.action_list(LISTS[kind], {}, timeout=BULK_SECONDS, on_item=take)
        except Refused as answer:
            if "found" not in str(answer):  # "No endpoints found": so it says when there is none
                raise
        return frozenset(names)

    async def _read(self, kind: ObjectKind, family: str) -> ObjectTable:
        """Returns the objects of an AstDB family, by id; one that can't be parsed has no fields, so it is pushed anew.

        Raises Refused or Unavailable where Asterisk does not list them.
        """
        objects, known = ObjectTable(), self._seen.objects(kind)
        digest = self._capabilities.digest

        def take(item: Message) -> None:
            key, text = EndpointId(item.get("Key").rpartition("/")[2]), item.get("Val")
            objects.put_read(key, hash((text, digest)), lambda: decoded(kind, text, digest=digest), known)

        await self._bulk.action_list("DBGetTree", {"Family": family}, timeout=BULK_SECONDS, on_item=take)
        return objects

    async def apply(self, action: PutObject | DeleteObject) -> None:
        """Writes or deletes an object; returns when Asterisk has it. Raises Refused, InvalidValue or Unavailable."""
        match action:
            case PutObject(kind, key, fields):
                match kind:
                    case ObjectKind.AOR:
                        await self._put_aor(key, fields)
                    case ObjectKind.AUTH:
                        await self._put_auth(key, fields)
                    case ObjectKind.ENDPOINT:
                        await self._put_endpoint(key, fields)
            case DeleteObject(kind, key):
                await self._delete(kind, key)

    async def _put(self, kind: ObjectKind, key: EndpointId, fields: Fields) -> None:
        """Writes an object by ARI and notes it as observed, or that Asterisk has it by its own files.

        Raises Refused, InvalidValue or Unavailable.
        """
        try:
            await self._ari.put_object(kind, key, encoded(fields))
        except Refused as refused:
            if _NOT_OURS in str(refused):  # the try after this one finds that it is others', and says what to do
                self._others[kind] = self._others.get(kind, frozenset()) | {key}
            raise
        self._unreadable.discard((kind, key))
        self._seen.object_put(kind, key, fields)

    async def _delete(self, kind: ObjectKind, key: EndpointId) -> None:
        """Deletes an object by ARI and notes that. Raises Refused or Unavailable."""
        await self._ari.delete_object(kind, key)
        if kind is ObjectKind.AOR:
            self._late.discard(key)
            self._contacts.forget_all(key)
        self._unreadable.discard((kind, key))
        self._seen.object_deleted(kind, key)

    async def _put_anew(self, kind: ObjectKind, key: EndpointId, fields: Fields) -> None:
        """Deletes an object and writes it with all its fields: a PUT could not take them back."""
        # what was read has every field that the daemon manages, also one that this Asterisk does not know
        fields = {**self._capabilities.known(kind, self._seen.state(key).objects.get(kind, {})), **fields}
        await self._delete(kind, key)
        await self._put(kind, key, fields)

    # ------------------------------------------------------------ auths

    async def _put_auth(self, key: EndpointId, fields: Fields) -> None:
        """Writes all fields of an auth, under the names that this Asterisk knows.

        All of them: what another version has left can't be read by every version.
        """
        there = self._seen.state(key).objects.get(ObjectKind.AUTH)
        whole = {**(there or {}), **fields}
        words = in_words_of(self._capabilities, ObjectKind.AUTH, whole, new=there is None)
        try:
            await self._ari.put_object(ObjectKind.AUTH, key, words)
        except Refused:
            if there is None or not self._capabilities.auth_algorithms:
                raise
            # pjsip.conf's default_auth_algorithms_uas asks for what an MD5 digest can't serve, and this auth is older
            await self._ari.delete_object(ObjectKind.AUTH, key)
            words = in_words_of(self._capabilities, ObjectKind.AUTH, whole, new=True)
            await self._ari.put_object(ObjectKind.AUTH, key, words)
        self._unreadable.discard((ObjectKind.AUTH, key))
        self._seen.object_put(ObjectKind.AUTH, key, whole)

    # ------------------------------------------------------------ endpoints

    async def _put_endpoint(self, key: EndpointId, fields: Fields) -> None:
        """Writes an endpoint; deletes and writes it anew where a PUT could not take a field back.

        Deleting an endpoint costs its phone nothing: the AOR keeps the registration, and a call goes on.
        """
        there = self._seen.state(key).objects.get(ObjectKind.ENDPOINT)
        if there is not None and any(there.get(name) for name in NOT_TAKEN_BACK & fields.keys()):
            await self._put_anew(ObjectKind.ENDPOINT, key, fields)
            return
        try:
            await self._put(ObjectKind.ENDPOINT, key, fields)
        except Unavailable as answer:
            if there is None or _UNREADABLE not in str(answer):
                raise
            log.warning("endpoint.unreadable", endpoint=key, reason=SPOILT, done="deleted and pushed anew")
            await self._put_anew(ObjectKind.ENDPOINT, key, fields)

    # ------------------------------------------------------------ AORs

    def takes_together(self, aors: int) -> bool:
        """Whether so many new AORs are made sooner by `put_new_aors` than one by one."""
        return too_many(aors, self._seen.endpoints())

    async def put_new_aors(self, aors: Mapping[EndpointId, Fields]) -> Mapping[EndpointId, str]:
        """Makes AORs that are not there yet by one reload of PJSIP; returns why some could not be made. Raises Refused
        or Unavailable."""
        failures = await self._new_aors.put(aors)
        for key in aors.keys() - failures.keys():
            self._seen.object_put(ObjectKind.AOR, key, aors[key])
        return failures

    async def finish_new_aors(self) -> None:
        """Has PJSIP take in new AORs that an earlier daemon only stored. Raises Refused or Unavailable."""
        await self._new_aors.finish()

    async def _put_aor(self, key: EndpointId, fields: Fields) -> None:
        """Writes an AOR without losing a registration: anew only where its fixed contact changes."""
        there = self._seen.state(key).objects.get(ObjectKind.AOR)
        if there is None:
            await self._put(ObjectKind.AOR, key, fields)
        elif "contact" in fields and not self._is_registered(key):
            # Asterisk looks at a fixed address when the AOR is made, and a PUT would add to it
            await self._put_anew(ObjectKind.AOR, key, fields)
        else:
            await self._rewrite(key, fields)

    async def _rewrite(self, key: EndpointId, fields: Fields) -> None:
        """Changes an AOR's fields in the AstDB, and nothing that Asterisk has in memory of it.

        A fixed address that is changed so is called at once, and Asterisk's state of it stays as it was: the AOR is
        made anew when the phone's registration ends.
        """
        stored = await self._stored(key)
        if stored is None:
            raise Refused(
                f"AstDB has no {FAMILIES[ObjectKind.AOR]}/aor/{key}; it is written again at the next comparison"
            )
        stored |= fields
        if not stored.get("contact"):
            stored.pop("contact", None)
        await self._actions.action(
            "DBPut",
            {"Family": FAMILIES[ObjectKind.AOR], "Key": f"aor/{key}", "Val": stored_aor(key, stored)},
            timeout=ANSWER_SECONDS,
        )
        if "contact" in fields:
            self._late.add(key)
        self._seen.object_put(ObjectKind.AOR, key, fields)

    async def _stored(self, key: EndpointId) -> dict[str, str] | None:
        """Returns all fields of an AOR as the AstDB has them, ours and others; None where there is none.

        DBGet would cut it at 256 bytes on Asterisk 16.
        """
        path = f"aor/{key}"
        family = FAMILIES[ObjectKind.AOR]
        items = await self._bulk.action_list("DBGetTree", {"Family": family, "Key": path}, timeout=ANSWER_SECONDS)
        for item in items:
            if item.get("Key") == f"/{family}/{path}":
                stored = object_of(item.get("Val"))
                return {name: str(value) for name, value in stored.items()}
        return None

    def _is_registered(self, key: EndpointId) -> bool:
        """Whether the AOR has a registered contact, besides the fixed address."""
        fixed = self._seen.state(key).objects.get(ObjectKind.AOR, {}).get("contact", "")
        return bool(self._contacts.uris(key) - {fixed})

    def is_due(self, key: EndpointId) -> bool:
        """Whether its AOR has to be made anew, since its fixed address was changed beside a registration."""
        return key in self._late and not self._is_registered(key)

    def added_to(self, state: ObservedState, key: EndpointId) -> ObservedState:
        """Returns the state; an AOR that is to be made anew is shown without its fixed address, so that it differs from
        what should be."""
        if not self.is_due(key) or ObjectKind.AOR not in state.objects:
            return state
        aor = {**state.objects[ObjectKind.AOR], "contact": "?"}
        return replace(state, objects={**state.objects, ObjectKind.AOR: aor})
