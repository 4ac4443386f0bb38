"""Plan, run, decide, record, report; diagnose what a study measured."""
