"""The guard: evaluates the automatic triggers and trips as an automation login. It can only tighten."""
