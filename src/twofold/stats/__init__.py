"""Statistics of scores that come in groups. Pure; numpy only."""
