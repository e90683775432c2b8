"""A real Kubernetes for tests: its control plane here, its programs as scripts/kube pins them."""
