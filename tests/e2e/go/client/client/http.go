package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"time"
)

const upload = 10 << 20

type httpTold struct {
	Proto       string `json:"proto"`
	Answers     int    `json:"answers"`
	Connections int    `json:"connections"`
	Events      int    `json:"events"`
	Downloaded  int64  `json:"downloaded"`
	Continued   bool   `json:"continued"`
}

type echoed struct {
	Method string            `json:"method"`
	Length int64             `json:"length"`
	Sha256 string            `json:"sha256"`
	Fields map[string]string `json:"fields"`
}

// overHTTP is one client with the transport that Go programs have by default.
func overHTTP(url string, trusted *tls.Config) httpTold {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = trusted
	transport.Proxy = nil
	transport.ExpectContinueTimeout = time.Minute
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	told := httpTold{}
	ask := func(method, path string, body io.Reader, fields ...string) *http.Response {
		request, err := http.NewRequest(method, url+path, body)
		must(err)
		for n := 0; n < len(fields); n += 2 {
			request.Header.Set(fields[n], fields[n+1])
		}
		trace := &httptrace.ClientTrace{
			GotConn: func(got httptrace.GotConnInfo) {
				if !got.Reused {
					told.Connections++
				}
			},
			Got100Continue: func() { told.Continued = true },
		}
		answer, err := client.Do(request.WithContext(httptrace.WithClientTrace(request.Context(), trace)))
		must(err)
		if answer.StatusCode != http.StatusOK {
			fail("%s %s: %s", method, path, answer.Status)
		}
		told.Answers++
		told.Proto = answer.Proto
		return answer
	}
	for range 50 {
		read := echo(ask("GET", "/echo?a=b", nil))
		if read.Method != "GET" || read.Length != 0 {
			fail("echoed %v", read)
		}
	}
	if length := ask("HEAD", "/large?bytes=1000", nil).ContentLength; length != 1000 {
		fail("HEAD told a length of %d", length)
	}
	sendUp(ask)
	told.Events = readEvents(ask("GET", "/events?count=7", nil, "Accept", "text/event-stream"))
	for _, path := range []string{"/large?bytes=20000000", "/large?bytes=20000000&chunked=1"} {
		answer := ask("GET", path, nil)
		size, err := io.Copy(io.Discard, answer.Body)
		must(err)
		told.Downloaded += size
	}
	return told
}

// sendUp sends a body with its length, one in chunks, and one after 100 Continue.
func sendUp(ask func(string, string, io.Reader, ...string) *http.Response) {
	body := bytes.Repeat([]byte("0123456789abcdef"), upload/16)
	digest := sha256.Sum256(body)
	for _, read := range []echoed{
		echo(ask("POST", "/echo", bytes.NewReader(body))),
		echo(ask("POST", "/echo", io.MultiReader(bytes.NewReader(body)))),
		echo(ask("PUT", "/echo", bytes.NewReader(body), "Expect", "100-continue")),
	} {
		if read.Length != upload || read.Sha256 != hex.EncodeToString(digest[:]) {
			fail("%d bytes sent, %d arrived", upload, read.Length)
		}
	}
}

func echo(answer *http.Response) (read echoed) {
	defer answer.Body.Close()
	must(json.NewDecoder(answer.Body).Decode(&read))
	_, err := io.Copy(io.Discard, answer.Body)
	must(err)
	return read
}

func readEvents(answer *http.Response) (events int) {
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "data: ") {
			events++
		}
	}
	must(lines.Err())
	return events
}
