"""Pure: from desired and observed state to ordered actions."""
