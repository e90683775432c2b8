// Command load drives V2 inference over gRPC and prints, as its last line, what it did:
//
//	{"requests":200,"errors":0,"first_error":"","us":2000123,"p50_us":41,"p99_us":88}
//
// A request is a call, or with -stream a message and its answer. What has begun is finished and
// counted, so that work and requests belong together.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"sort"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"ebbtide.dev/bench/grpc/raw"
)

const service = "/inference.GRPCInferenceService/"

var (
	address     = flag.String("a", "", "HOST:PORT")
	callers     = flag.Int("c", 1, "calls at once")
	connections = flag.Int("connections", 1, "what they share")
	duration    = flag.Duration("d", time.Second, "for how long calls are begun")
	deadline    = flag.Duration("deadline", 0, "for each call (0: none)")
	stream      = flag.Bool("stream", false, "a stream for each caller, and a request is a message")
)

type result struct {
	mutex     sync.Mutex
	latencies []float64
	errors    int
	first     string
}

func main() {
	flag.Parse()
	shared := make([]*grpc.ClientConn, *connections)
	for number := range shared {
		made, err := grpc.NewClient("passthrough:///"+*address,
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodec(raw.Codec{})))
		if err != nil {
			panic(err)
		}
		shared[number] = made
	}
	var done result
	var group sync.WaitGroup
	begun := time.Now()
	for number := range *callers {
		group.Add(1)
		go func() {
			defer group.Done()
			if *stream {
				done.messages(shared[number%len(shared)], begun)
			} else {
				done.calls(shared[number%len(shared)], begun)
			}
		}()
	}
	group.Wait()
	done.print(time.Since(begun))
}

func (done *result) calls(connection *grpc.ClientConn, begun time.Time) {
	var latencies []float64
	for time.Since(begun) < *duration {
		sent := time.Now()
		if err := call(connection); err != nil {
			done.fail(err)
			break
		}
		latencies = append(latencies, micros(sent))
	}
	done.add(latencies)
}

func call(connection *grpc.ClientConn) error {
	ctx := context.Background()
	if *deadline > 0 {
		limited, cancel := context.WithTimeout(ctx, *deadline)
		defer cancel()
		ctx = limited
	}
	var answer []byte
	if err := connection.Invoke(ctx, service+"ModelInfer", &raw.Request, &answer); err != nil {
		return err
	}
	return same(answer, raw.Answer)
}

func (done *result) messages(connection *grpc.ClientConn, begun time.Time) {
	both := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	open, err := connection.NewStream(context.Background(), both, service+"ModelStreamInfer")
	if err != nil {
		done.fail(err)
		return
	}
	var latencies []float64
	for time.Since(begun) < *duration {
		sent := time.Now()
		var answer []byte
		err := open.SendMsg(&raw.Request)
		if err == nil || errors.Is(err, io.EOF) {
			err = open.RecvMsg(&answer)
		}
		if err == nil {
			err = same(answer, raw.StreamAnswer)
		}
		if err != nil {
			done.fail(err)
			break
		}
		latencies = append(latencies, micros(sent))
	}
	open.CloseSend()
	var rest []byte
	if err := open.RecvMsg(&rest); !errors.Is(err, io.EOF) {
		done.fail(fmt.Errorf("a stream ended with %v", err))
	}
	done.add(latencies)
}

func same(answer, expected []byte) error {
	if !bytes.Equal(answer, expected) {
		return fmt.Errorf("an answer of %d bytes is not the model's", len(answer))
	}
	return nil
}

func micros(since time.Time) float64 { return float64(time.Since(since).Microseconds()) }

func (done *result) add(latencies []float64) {
	done.mutex.Lock()
	defer done.mutex.Unlock()
	done.latencies = append(done.latencies, latencies...)
}

func (done *result) fail(err error) {
	done.mutex.Lock()
	defer done.mutex.Unlock()
	done.errors++
	if done.first == "" {
		done.first = err.Error()
	}
}

func (done *result) print(took time.Duration) {
	sort.Float64s(done.latencies)
	at := func(share float64) float64 {
		if len(done.latencies) == 0 {
			return 0
		}
		return done.latencies[int(share*float64(len(done.latencies)-1))]
	}
	json.NewEncoder(os.Stdout).Encode(map[string]any{
		"requests": len(done.latencies), "errors": done.errors, "first_error": done.first,
		"us": took.Microseconds(), "p50_us": at(.5), "p99_us": at(.99),
	})
}
