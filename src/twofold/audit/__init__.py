"""Who was served what, and who changed what: the append-only, hash-chained audit log."""
