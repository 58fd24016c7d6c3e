"""The process that leads: reads inputs, decides, commits."""
