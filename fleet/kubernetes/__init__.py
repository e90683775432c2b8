"""The API server of a Kubernetes cluster: asking it, and watching what it holds, as raw JSON."""
