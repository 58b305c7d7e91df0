"""The paper's equations, one or one family a file, each written out in its docstring."""
