"""The nouns: ids, channels, messages, lineage, records, changes and declarations."""
