"""The verdict: the rule, its evidence, its power and its words. Pure."""
