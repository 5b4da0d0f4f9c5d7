"""The ARI: HTTP client, event stream, channels."""
