module ebbtide.dev/bench/grpc

go 1.24
