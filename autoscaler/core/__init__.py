"""What the control loop decides. Pure."""
