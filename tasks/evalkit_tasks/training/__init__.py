"""Small networks trained on formal tasks."""
