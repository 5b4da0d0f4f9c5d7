"""Loaded by the command schemathesis: how it sends bodies that are no JSON."""

import schemathesis

schemathesis.serializer.alias(
    ["image/png", "image/jpeg", "text/csv", "application/x-ndjson"], "application/octet-stream"
)
