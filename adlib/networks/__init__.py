"""Networks and their parts: they take numbers and know no detector and no study."""
