"""Every rule by which the answer may be no, one row each. `core.model.refusals` lists them."""
