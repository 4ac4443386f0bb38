"""Studies of retrieval alone: benchmark, ablation, abstention, the weight of the word leg."""
