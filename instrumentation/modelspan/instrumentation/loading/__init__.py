"""What models are loaded from."""
