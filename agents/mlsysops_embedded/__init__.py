"""A small Kubernetes-compatible engine for one machine: API server, controllers, kubelet and propagation."""
