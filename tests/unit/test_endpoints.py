"""What the driver of PJSIP objects learns from what ARI refuses."""

import pytest

from agentbridge.asterisk.drivers.endpoints import Endpoints
from agentbridge.asterisk.observed.observation import Observation
from agentbridge.errors import Refused
from agentbridge.model import EndpointId, Fields, ObjectKind, PutObject

KEY = EndpointId("1015")


class OthersAri:
    """An Asterisk that has the endpoint by its own files."""

    async def put_object(self, kind: ObjectKind, key: EndpointId, fields: Fields) -> None:
        del key, fields
        raise Refused(f"ARI PUT: 403 Cannot update sorcery objects of type '{kind}'")


@pytest.mark.parametrize("kind", [ObjectKind.ENDPOINT, ObjectKind.AOR])
async def test_what_asterisk_has_by_its_own_files_is_known_after_a_refusal(kind: ObjectKind) -> None:
    unasked = None
    seen = Observation(lambda _: None)
    endpoints = Endpoints(OthersAri(), unasked, unasked, seen, unasked)  # type: ignore[arg-type] # no link is asked
    assert not endpoints.is_others(KEY)
    with pytest.raises(Refused):
        await endpoints.apply(PutObject(kind, KEY, {"context": "x"}))
    assert endpoints.is_others(KEY)
