"""The fault zoo: minds that show one way to go wrong on cue, and healthy ones that look like it, each
on a real worker over the real store, in a world whose time jumps.

What is true of each is known, so a detector's recall and its false alarms are counted without a
model. `python -m tests.zoo` prints the table.
"""
