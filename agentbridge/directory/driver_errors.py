"""Errors of asyncpg that mean something else than that a statement went wrong."""

from __future__ import annotations

import asyncpg

POOLER = (
    asyncpg.InvalidSQLStatementNameError,
    asyncpg.DuplicatePreparedStatementError,
    asyncpg.ProtocolViolationError,
)
"""PgBouncer: in transaction mode the next server has not got our prepared statement, or somebody else's; and it
refuses settings that it does not know."""
TRY_THE_NEXT = (OSError, asyncpg.TargetServerAttributeNotMatched, asyncpg.CannotConnectNowError)
"""of the servers that a DSN names: this one can't be used now"""
