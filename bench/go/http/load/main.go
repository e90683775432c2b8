// Command load drives one URL and prints, as its last line, what it did:
//
//	{"requests":200,"errors":0,"first_error":"","us":2000123,"p50_us":41,"p99_us":88,"bytes":31400}
//
// A request that has begun is finished and counted, so that work and requests belong together.
// With -rate requests begin on a schedule, whether earlier ones are answered or not.
package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"sort"
	"sync"
	"time"
)

var (
	url       = flag.String("url", "", "where requests go")
	clients   = flag.Int("c", 1, "connections")
	duration  = flag.Duration("d", time.Second, "for how long requests are begun")
	rate      = flag.Int("rate", 0, "requests a second, begun on schedule (0: each client one after another)")
	size      = flag.Int("body", 0, "bytes of the request's body, when it is not on standard input")
	expected  = flag.Int("expect", 0, "bytes every answer must have (0: any)")
	slow      = flag.Duration("slow", 0, "for how long from the start answers are read slowly, 64 KiB in 10 ms")
	handshake = flag.Bool("handshake", false, "a new connection for each request")
)

type result struct {
	mutex     sync.Mutex
	latencies []float64
	errors    int
	first     string
	bytes     int64
}

func main() {
	flag.Parse()
	body := make([]byte, *size)
	if *size == 0 {
		var err error
		if body, err = io.ReadAll(os.Stdin); err != nil {
			panic(err)
		}
	}
	client := &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: *clients,
		MaxConnsPerHost:     *clients,
		DisableKeepAlives:   *handshake,
		DisableCompression:  true,
		ReadBufferSize:      64 << 10,
		WriteBufferSize:     64 << 10,
		// The certificate is made for this run, on this machine; HTTP/2 is not asked for.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		TLSNextProto:    map[string]func(string, *tls.Conn) http.RoundTripper{},
	}}
	var done result
	begun := time.Now()
	if *rate > 0 {
		onSchedule(client, body, begun, &done)
	} else {
		oneAfterAnother(client, body, begun, &done)
	}
	done.print(time.Since(begun))
}

func oneAfterAnother(client *http.Client, body []byte, begun time.Time, done *result) {
	var group sync.WaitGroup
	for range *clients {
		group.Add(1)
		go func() {
			defer group.Done()
			buffer := make([]byte, 64<<10)
			for time.Since(begun) < *duration {
				request(client, body, buffer, begun, done)
			}
		}()
	}
	group.Wait()
}

func onSchedule(client *http.Client, body []byte, begun time.Time, done *result) {
	var group sync.WaitGroup
	gap := time.Second / time.Duration(*rate)
	for next := begun; next.Before(begun.Add(*duration)); next = next.Add(gap) {
		time.Sleep(time.Until(next))
		group.Add(1)
		go func() {
			defer group.Done()
			request(client, body, make([]byte, 4<<10), begun, done)
		}()
	}
	group.Wait()
}

func request(client *http.Client, body, buffer []byte, begun time.Time, done *result) {
	sent := time.Now()
	read, err := exchange(client, body, buffer, begun)
	took := float64(time.Since(sent).Microseconds())
	done.mutex.Lock()
	defer done.mutex.Unlock()
	done.bytes += read
	if err == nil {
		done.latencies = append(done.latencies, took)
		return
	}
	done.errors++
	if done.first == "" {
		done.first = err.Error()
	}
}

func exchange(client *http.Client, body, buffer []byte, begun time.Time) (int64, error) {
	response, err := client.Post(*url, "application/json", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	var read int64
	for err == nil {
		var count int
		count, err = response.Body.Read(buffer)
		read += int64(count)
		if *slow > 0 && time.Since(begun) < *slow {
			time.Sleep(10 * time.Millisecond)
		}
	}
	switch {
	case err != io.EOF:
		return read, err
	case response.StatusCode != http.StatusOK:
		return read, fmt.Errorf("status %d", response.StatusCode)
	case *expected > 0 && read != int64(*expected):
		return read, fmt.Errorf("%d bytes, expected %d", read, *expected)
	}
	return read, nil
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
		"us": took.Microseconds(), "p50_us": at(.5), "p99_us": at(.99), "bytes": done.bytes,
	})
}
