"""The command line: wiring and printing, no logic of its own. Nothing imports it but `__main__`."""
