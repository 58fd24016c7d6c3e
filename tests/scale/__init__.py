"""Long runs that print figures: each a command of its own, none of them part of the suite."""
