// Command client asks a gateway as Go programs do, over net/http or grpc-go, and tells what it got
// in one line of JSON.
//
//	client http URL [CA]
//	client grpc ADDRESS UNARY STREAM [CA]
//
// URL is that of a model of tests/e2e/model.py. UNARY and STREAM are files with a ModelInferRequest:
// one for an ordinary model, one for a decoupled model that still sleeps. CA is a file too.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	var told any
	switch {
	case len(os.Args) >= 3 && os.Args[1] == "http":
		told = overHTTP(os.Args[2], trust(os.Args[3:]))
	case len(os.Args) >= 5 && os.Args[1] == "grpc":
		told = overGRPC(os.Args[2], read(os.Args[3]), read(os.Args[4]), trust(os.Args[5:]))
	default:
		fmt.Fprintln(os.Stderr, "client http URL [CA] | client grpc ADDRESS UNARY STREAM [CA]")
		os.Exit(2)
	}
	must(json.NewEncoder(os.Stdout).Encode(told))
}

// trust makes a configuration of TLS that trusts the file, or none.
func trust(files []string) *tls.Config {
	if len(files) == 0 {
		return nil
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(read(files[0])) {
		fail("no certificate in %s", files[0])
	}
	return &tls.Config{RootCAs: roots}
}

func read(path string) []byte {
	content, err := os.ReadFile(path)
	must(err)
	return content
}

func must(err error) {
	if err != nil {
		fail("%v", err)
	}
}

func fail(format string, values ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", values...)
	os.Exit(1)
}
