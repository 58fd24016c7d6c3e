"""One file for each verb: its name, arguments, targets, authorities, and how it is decided.

What a file needs in order to decide, it imports where it decides: the command line and the schemas
of what models write are made from the rows alone.
"""
