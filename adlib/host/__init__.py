"""The machine: files, folders, device and precision, where a number comes from."""
