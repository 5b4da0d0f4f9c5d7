"""What Asterisk's command line shows of voicemail boxes, and what may be said to it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbridge.asterisk.drivers.voicemail import checked, listed, loaded
from agentbridge.desired.voicemail import mailbox_name
from agentbridge.errors import InvalidValue
from agentbridge.model import EndpointId

LISTED = """
=== Configured Voicemail Users ==============================
===
=== Mailbox ...
===
=== ==> uniqueid: 1
=== ==> context: agentbridge
=== ==> mailbox: 7
=== ==> internal: 1001
=== ==> password: 1234
=== ==> fullname: Ana Müller
===
=== ---------------------------------------------------------
===
=== Mailbox ...
===
=== ==> uniqueid: 2
=== ==> mailbox: 8
=== ==> internal: 1002
=== ==> password: none
=== ==> fullname:\x20
===
"""
LOADED = """\
                   Column Name  Column Value                  
          --------------------  --------------------          
                      uniqueid  1                             
                       mailbox  7                             
                      internal  1001                          
                      password  1234                          
                      fullname  Ana Müller                    
"""  # noqa: W291 - as Asterisk prints it
KEY = EndpointId("1001")


def test_all_boxes_are_read_from_the_list() -> None:
    assert listed(LISTED) == {
        "1001": {"mailbox": "7", "password": "1234", "fullname": "Ana Müller"},
        "1002": {"mailbox": "8", "password": "none", "fullname": ""},
    }
    assert listed("") == {}


def test_one_box_is_read_from_its_table() -> None:
    assert loaded(LOADED) == {"mailbox": "7", "password": "1234", "fullname": "Ana Müller"}
    assert loaded("No rows found matching search criteria.\n") == {}


@given(st.text())
def test_no_name_has_what_could_end_a_quoted_word(text: str) -> None:
    name = mailbox_name(text)
    assert mailbox_name(name) == name
    assert len(name.encode()) < 80
    assert not any(ord(character) < 32 or character in "\"'\\`;$|,<>" for character in name)
    assert checked(KEY, {"mailbox": "7", "password": "1234", "fullname": name})["fullname"] == name


@pytest.mark.parametrize(
    ("key", "password", "name"),
    [
        ("1001 x", "1234", "Ana"),
        ('1"', "1234", "Ana"),
        ("1001", "12 34", "Ana"),
        ("1001", '1234" x "', "Ana"),
        ("1001", "123", "Ana"),
        ("1001", "", "Ana"),
        ("1001", "1234", 'An"a'),
        ("1001", "1234", "An\na"),
    ],
)
def test_what_could_break_out_is_refused_before_it_is_sent(key: str, password: str, name: str) -> None:
    with pytest.raises(InvalidValue):
        checked(EndpointId(key), {"mailbox": "7", "password": password, "fullname": name})
