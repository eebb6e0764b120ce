"""Sources of dated text, and the formats that they speak."""
