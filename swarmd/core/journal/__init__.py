"""The record: entries, replay, audit, verification, and the check of the living tree."""
