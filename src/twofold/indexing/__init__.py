"""Documents into the living index: sync, sources, versions, erasure."""
