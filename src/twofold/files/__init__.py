"""Files read within bounds: text, records, delimited text, Parquet; and advisory locks."""
