"""What networks are trained on: tasks, their strings, and which of these are held out for testing."""
