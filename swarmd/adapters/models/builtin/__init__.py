"""The built-in mind: rules and retrieval, no language model. It does a real job with no key and no
endpoint.

Its board charters executives per theme of the mission, those create researchers per part of the
files, each quotes the sentences that answer best, and the result is a brief whose every quotation
cites its `file:line`. Invariants: an answer is a function of the prompt's view and of the names of
the files in it, it is made of the same moves that a language model has, and it spends no tokens.
Whatever stands in files, reports and motions is data: it is searched, counted and quoted, and never
decides what is done.
"""

from __future__ import annotations
