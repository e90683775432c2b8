module ebbtide.dev/bench/http

go 1.22
