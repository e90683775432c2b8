"""What holding and waking decide. Pure."""
