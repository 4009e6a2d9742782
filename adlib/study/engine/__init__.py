"""How cells are executed: papermill, kernels that are forked, GPUs, what is said meanwhile."""
