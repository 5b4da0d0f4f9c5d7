"""`agentbridge` and `python -m agentbridge`."""

from agentbridge.cli.app import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
