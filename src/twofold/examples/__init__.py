"""Examples: read, checked, split, and searched for leaks. Pure but for the one read in `load_examples`.

Splitting is a claim about the future, so the policy comes back in words. Everything is drawn by hashing seed and ids:
the same examples in another order, or in other files, give the same splits.
"""
