"""Studies: the cells of a grid, their training, and the tables that compare them."""
