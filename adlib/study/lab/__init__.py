"""What notebooks call: how they open, show ours beside the published, and say what is seen."""
