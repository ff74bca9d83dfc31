// Command concurrent lets ten workers send ten requests each, as the article's later programs do.
//
//	go run ./concurrent               # Go's default: two idle connections are kept
//	go run ./concurrent -per-host 10  # one for each worker
//
// It waits before it ends, so that `netstat -n | grep 8080` shows what it has left behind.
package main

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

func main() {
	url := flag.String("url", "http://127.0.0.1:8080/?delay=20ms", "what to fetch")
	perHost := flag.Int("per-host", 2, "how many idle connections to keep")
	wait := flag.Duration("wait", 10*time.Second, "how long to stay alive afterwards")
	flag.Parse()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = *perHost
	client := http.Client{Transport: transport}
	var workers sync.WaitGroup
	for worker := 0; worker < 10; worker++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for number := 0; number < 10; number++ {
				response, err := client.Get(*url)
				if err != nil {
					fmt.Fprintln(os.Stderr, "concurrent:", err)
					os.Exit(1)
				}
				io.Copy(io.Discard, response.Body)
				response.Body.Close()
				time.Sleep(time.Second / 10)
			}
		}()
	}
	workers.Wait()
	fmt.Println("alive for", *wait, "more")
	time.Sleep(*wait)
}
