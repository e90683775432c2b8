// Command model is a V2 model server for long answers and long requests.
//
//	model HOST PORT [anything a runtime adds]
//
// It reads each request to its end. /infer is answered with a small inference, /generate with
// 100 MiB, /generate_stream with 200 server-sent events 5 ms apart, all else with {}.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	large  = 100 << 20
	events = 200
	pause  = 5 * time.Millisecond
	small  = `{"model_name":"fixed","model_version":"1","outputs":[{"name":"y","datatype":"FP32","shape":[1],"data":[3.0]}]}`
)

var piece = make([]byte, 256<<10)

func main() {
	log.Fatal(http.ListenAndServe(net.JoinHostPort(os.Args[1], os.Args[2]), http.HandlerFunc(answer)))
}

func answer(writer http.ResponseWriter, request *http.Request) {
	if _, err := io.Copy(io.Discard, request.Body); err != nil {
		return
	}
	switch path := request.URL.Path; {
	case strings.HasSuffix(path, "/generate_stream"):
		stream(writer)
	case strings.HasSuffix(path, "/generate"):
		writer.Header().Set("Content-Type", "application/octet-stream")
		writer.Header().Set("Content-Length", strconv.Itoa(large))
		for sent := 0; sent < large; sent += len(piece) {
			if _, err := writer.Write(piece); err != nil {
				return
			}
		}
	case strings.HasSuffix(path, "/infer"):
		writer.Header().Set("Content-Type", "application/json")
		io.WriteString(writer, small)
	default:
		io.WriteString(writer, "{}")
	}
}

func stream(writer http.ResponseWriter) {
	writer.Header().Set("Content-Type", "text/event-stream")
	flusher := writer.(http.Flusher)
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for number := range events {
		fmt.Fprintf(writer, "data: {\"token\":%d,\"text\":\"the tide goes out and comes in again\"}\n\n", number)
		flusher.Flush()
		<-ticker.C
	}
}
