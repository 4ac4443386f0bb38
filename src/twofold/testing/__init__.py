"""Fakes that are real implementations, and a conformance suite per protocol; shipped for plugin authors."""
