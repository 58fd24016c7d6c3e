"""Puts the parts together: which server, which model, which of supervisor and worker run in this
process.
"""
