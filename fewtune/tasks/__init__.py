"""What can be learnt, a file a task."""
