// Command sequential sends ten requests, one after the other, as the article's first programs do.
//
//	go run ./sequential              # bodies are neither read nor closed: the article's first table
//	go run ./sequential -body drain  # bodies are read to their end, and closed
//	go run ./sequential -body close  # bodies are closed unread
//
// It waits before it ends, so that `netstat -n | grep 8080` shows what it has left behind.
package main

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

func main() {
	url := flag.String("url", "http://127.0.0.1:8080/", "what to fetch")
	body := flag.String("body", "hold", "what to do with the bodies: hold, drain or close")
	wait := flag.Duration("wait", 10*time.Second, "how long to stay alive afterwards")
	flag.Parse()
	for number := 1; number <= 10; number++ {
		response, err := http.Get(*url)
		if err != nil {
			fmt.Fprintln(os.Stderr, "sequential:", err)
			os.Exit(1)
		}
		switch *body {
		case "drain":
			io.Copy(io.Discard, response.Body)
			response.Body.Close()
		case "close":
			response.Body.Close()
		}
		fmt.Println(number, response.Status)
		time.Sleep(time.Second / 10)
	}
	fmt.Println("alive for", *wait, "more")
	time.Sleep(*wait)
}
