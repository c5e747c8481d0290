"""From what exists to what should be: the plan, and what of it may be done."""
