// fetch PAUSE URL…: fetches one after the other; a POST each if BODY is set.
package main

import (
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	status := 0
	pause, _ := time.ParseDuration(os.Args[1] + "s")
	for number, url := range os.Args[2:] {
		if number > 0 {
			time.Sleep(pause)
		}
		if err := fetch(url, os.Getenv("BODY")); err != nil {
			log.Print(err)
			status = 1
		}
	}
	os.Exit(status)
}

func fetch(url, body string) error {
	method := map[bool]string{true: "POST", false: "GET"}[body != ""]
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}
