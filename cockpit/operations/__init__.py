"""What a person can ask for. Each operation takes the outside systems that it needs as arguments."""
