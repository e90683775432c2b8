package main

import (
	"context"
	"crypto/tls"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"
)

const (
	infer  = "/inference.GRPCInferenceService/ModelInfer"
	stream = "/inference.GRPCInferenceService/ModelStreamInfer"
)

type grpcTold struct {
	Answers  [][]byte `json:"answers"`
	Streamed [][]byte `json:"streamed"`
	Late     string   `json:"late"`
	Unknown  string   `json:"unknown"`
}

// bytesCodec passes *[]byte through gRPC untouched.
type bytesCodec struct{}

func (bytesCodec) Marshal(value any) ([]byte, error) { return *(value.(*[]byte)), nil }

func (bytesCodec) Unmarshal(data []byte, value any) error {
	*(value.(*[]byte)) = append([]byte(nil), data...)
	return nil
}

func (bytesCodec) Name() string { return "proto" }

func overGRPC(address string, unary, counting []byte, trusted *tls.Config) grpcTold {
	secured := insecure.NewCredentials()
	if trusted != nil {
		secured = credentials.NewTLS(trusted)
	}
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(secured),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(bytesCodec{})))
	must(err)
	defer connection.Close()
	told := grpcTold{}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	// The first finds the model asleep.
	for _, options := range [][]grpc.CallOption{nil, nil, {grpc.UseCompressor(gzip.Name)}} {
		answer := []byte{}
		must(connection.Invoke(ctx, infer, &unary, &answer, options...))
		told.Answers = append(told.Answers, answer)
	}
	nobody := []byte{10, 6, 'n', 'o', 'b', 'o', 'd', 'y'}
	answer := []byte{}
	told.Unknown = status.Code(connection.Invoke(ctx, infer, &nobody, &answer)).String()
	told.Late = tooLate(ctx, connection, counting)
	told.Streamed = bothWays(ctx, connection, counting)
	return told
}

// tooLate calls a model that still sleeps, with a deadline that is over long before it is awake.
func tooLate(ctx context.Context, connection *grpc.ClientConn, request []byte) string {
	hurried, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	answer := []byte{}
	code := status.Code(connection.Invoke(hurried, infer, &request, &answer))
	if code == codes.DeadlineExceeded && hurried.Err() == nil {
		fail("the deadline was over before its time")
	}
	return code.String()
}

// bothWays sends a request twice on one stream, and reads to its end.
func bothWays(ctx context.Context, connection *grpc.ClientConn, request []byte) (got [][]byte) {
	calls, err := connection.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, stream)
	must(err)
	for range 2 {
		must(calls.SendMsg(&request))
	}
	must(calls.CloseSend())
	for {
		answer := []byte{}
		err := calls.RecvMsg(&answer)
		if err == io.EOF {
			return got
		}
		must(err)
		got = append(got, answer)
	}
}
