"""The record of missions as files: written line by line, bounded by size and age, read back."""
