// Command reverseproxy forwards everything from one address to another with Go's
// httputil.ReverseProxy, which Knative's activator, KEDA's interceptor and KubeAI are built on.
//
//	reverseproxy 127.0.0.1:9000 http://127.0.0.1:9001 [certificate.pem key.pem]
//
// It is given what it needs to be fast: idle connections enough for every client, and no
// compression of its own.
package main

import (
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
)

func main() {
	model, err := url.Parse(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns = 4096
	transport.MaxIdleConnsPerHost = 4096
	transport.DisableCompression = true
	transport.Proxy = nil
	proxy := &httputil.ReverseProxy{
		Rewrite: func(request *httputil.ProxyRequest) {
			request.SetURL(model)
			request.SetXForwarded()
		},
		Transport:     transport,
		FlushInterval: -1,
	}
	server := &http.Server{Addr: os.Args[1], Handler: proxy}
	if len(os.Args) > 4 {
		log.Fatal(server.ListenAndServeTLS(os.Args[3], os.Args[4]))
	}
	log.Fatal(server.ListenAndServe())
}
