module ebbtide.dev/kube/pause

go 1.22
