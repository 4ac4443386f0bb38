"""The measurement of forgetting: the suite of general ability with its data, and the choice of a merge coefficient."""
