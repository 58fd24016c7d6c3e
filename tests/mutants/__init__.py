"""Known faults, put in on purpose: each breaks a law in one line, and the tests that
docs/laws.md names must see it.
"""
