"""From an ensemble to one network: taught by it, or an average of it."""
