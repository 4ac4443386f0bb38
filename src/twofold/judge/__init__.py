"""A model that judges answers, on probation until it is shown to repeat itself and to agree with people."""
