"""Picture files of people: reading any of them, and drawing what was found in them."""
