"""The journal's sealed files, and the checks that read them."""
