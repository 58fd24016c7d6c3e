"""Who may be made and with what rights, and how a subtree is marked for its end."""
