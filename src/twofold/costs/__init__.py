"""The cost of owning each arm: prices with date and source, metered quantities, totals, break-even, curves."""
