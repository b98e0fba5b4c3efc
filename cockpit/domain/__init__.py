"""The rules of the cockpit: pure, standard library only, no I/O and no clock of its own."""
