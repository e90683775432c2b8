"""`ebbtide doctor`: what is asked of a cluster, what it means, and how that is told."""
