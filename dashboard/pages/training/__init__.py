"""What is and was trained."""
