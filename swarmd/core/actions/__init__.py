"""What a superior may do to agents below it: one file for each verb."""
