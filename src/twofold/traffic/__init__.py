"""What was asked and answered, where the operator wants it kept: the traffic log."""
