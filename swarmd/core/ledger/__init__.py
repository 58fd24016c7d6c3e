"""Accounts, shares and prices."""
