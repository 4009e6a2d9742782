"""What the notebooks of the folder `beyond` compute, one module a notebook or trap."""
