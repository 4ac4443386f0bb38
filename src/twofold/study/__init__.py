"""Plan, run, diagnose, decide, record, report."""
