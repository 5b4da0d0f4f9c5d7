"""Passwords that nobody has."""

import argon2

from agentbridge.directory.passwords import _no_hash, hash_password, verify_password


def test_no_password_fits_where_there_is_no_hash_and_the_check_is_as_expensive() -> None:
    assert not verify_password(None, "Secret-1234")
    nobodys, somebodys = _no_hash(), hash_password("Secret-1234")
    assert argon2.extract_parameters(nobodys) == argon2.extract_parameters(somebodys)
    assert len(nobodys) == len(somebodys)
    assert verify_password(somebodys, "Secret-1234")
