"""The answering path: `system.System` answers, within access control and with its evidence, for every caller."""
