// Command model is a V2 model server over gRPC, and over HTTP as far as readiness goes.
//
//	model HOST HTTP_PORT GRPC_PORT [anything a runtime adds]
//
// Every inference gets the same answer, and so does every message of a stream. Messages are bytes
// to it: what is measured is who stands in front.
package main

import (
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"

	"google.golang.org/grpc"

	"ebbtide.dev/bench/grpc/raw"
)

func main() {
	host := os.Args[1]
	go func() {
		ready := func(writer http.ResponseWriter, _ *http.Request) { io.WriteString(writer, "{}") }
		log.Fatal(http.ListenAndServe(net.JoinHostPort(host, os.Args[2]), http.HandlerFunc(ready)))
	}()
	listener, err := net.Listen("tcp", net.JoinHostPort(host, os.Args[3]))
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(
		grpc.ForceServerCodec(raw.Codec{}),
		grpc.MaxRecvMsgSize(1<<30),
		grpc.MaxConcurrentStreams(1<<20),
		grpc.UnknownServiceHandler(answer),
	)
	log.Fatal(server.Serve(listener))
}

func answer(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	answer := raw.Answer
	switch {
	case strings.HasSuffix(method, "Ready"), strings.HasSuffix(method, "Live"):
		answer = raw.True
	case strings.HasSuffix(method, "/ModelStreamInfer"):
		answer = raw.StreamAnswer
	}
	for {
		var message []byte
		if err := stream.RecvMsg(&message); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := stream.SendMsg(&answer); err != nil {
			return err
		}
	}
}
