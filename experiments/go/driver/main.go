// Command driver is Go's own http.Transport, at the lab's command.
//
// It reads orders from stdin, a JSON object a line, and tells on stdout, a JSON object a line, what
// net/http/httptrace and its own sockets show: every moment in the words that the lab has for it,
// and what became of every order. It ends when its stdin does.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// Order is a line of stdin; one of its fields is there.
type Order struct {
	SetUp   *SetUp `json:"set_up"`
	Get     *Get   `json:"get"`
	Release bool   `json:"release"`
	Close   bool   `json:"close"`
}

// SetUp is the first order. A limit that is null is none.
type SetUp struct {
	PerHost         int    `json:"per_host"`
	MaxIdle         *int   `json:"max_idle"`
	MaxConnsPerHost *int   `json:"max_conns_per_host"`
	IdleTimeoutUs   *int64 `json:"idle_timeout_us"`
	KeepAlives      bool   `json:"keep_alives"`
	TCPKeepaliveUs  *int64 `json:"tcp_keepalive_us"`
	DialTimeoutUs   int64  `json:"dial_timeout_us"`
}

// Get is a request, whatever its Method; with a Post it has a body.
type Get struct {
	Exchange    uint64      `json:"exchange"`
	Method      string      `json:"method"`
	URL         string      `json:"url"`
	Fields      [][2]string `json:"fields"` // name and value
	Body        string      `json:"body"`   // drain, drop or hold
	Post        *string     `json:"post"`
	ContentType string      `json:"content_type"`
}

// Done tells how a Get has ended.
type Done struct {
	Exchange   uint64   `json:"exchange"`
	Status     *int     `json:"status"`
	Connection []string `json:"connection"` // the lines of this field, as the others
	KeepAlive  []string `json:"keep_alive"`
	Read       int64    `json:"read"`
	Left       *int64   `json:"left"`
	Failure    *Failure `json:"failure"`
}

type driver struct {
	mutex  sync.Mutex
	out    *bufio.Writer
	client http.Client
	setUp  SetUp
	conns  uint64
	held   []io.Closer
}

func main() {
	d := &driver{out: bufio.NewWriter(os.Stdout)}
	in := bufio.NewReader(os.Stdin)
	decoder := json.NewDecoder(in)
	for {
		var order Order
		if err := decoder.Decode(&order); err != nil {
			return
		}
		switch {
		case order.SetUp != nil:
			d.begin(*order.SetUp)
		case order.Get != nil:
			go d.get(*order.Get)
		case order.Release:
			d.release()
		case order.Close:
			d.client.CloseIdleConnections()
			d.tell("closed", nil)
		}
	}
}

func (d *driver) begin(setUp SetUp) {
	d.setUp = setUp
	us := func(us *int64) time.Duration {
		if us == nil {
			return 0
		}
		return time.Duration(*us) * time.Microsecond
	}
	count := func(limit *int) int {
		if limit == nil {
			return 0
		}
		return *limit
	}
	dialer := &net.Dialer{Timeout: us(&setUp.DialTimeoutUs), KeepAlive: us(setUp.TCPKeepaliveUs)}
	if setUp.TCPKeepaliveUs == nil {
		dialer.KeepAlive = -1
	}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return d.dial(ctx, dialer, network, address)
		},
		DisableKeepAlives:     !setUp.KeepAlives,
		MaxIdleConns:          count(setUp.MaxIdle),
		MaxIdleConnsPerHost:   setUp.PerHost,
		MaxConnsPerHost:       count(setUp.MaxConnsPerHost),
		IdleConnTimeout:       us(setUp.IdleTimeoutUs),
		ExpectContinueTimeout: time.Second,
	}
	if setUp.PerHost == 0 {
		transport.MaxIdleConnsPerHost = -1 // 0 would be the default, 2
	}
	d.client = http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (d *driver) get(get Get) {
	done := Done{Exchange: get.Exchange}
	ctx := d.traced(get.Exchange)
	body := io.Reader(nil)
	if get.Post != nil {
		body = bytes.NewReader([]byte(*get.Post))
	}
	request, err := http.NewRequestWithContext(ctx, get.Method, get.URL, body)
	if err == nil {
		for _, field := range get.Fields {
			request.Header.Set(field[0], field[1])
		}
		if get.ContentType != "" {
			request.Header.Set("Content-Type", get.ContentType)
		}
		var response *http.Response
		if response, err = d.client.Do(request); err == nil {
			done.Status = &response.StatusCode
			done.Connection = response.Header["Connection"]
			done.KeepAlive = response.Header["Keep-Alive"]
			if response.ContentLength >= 0 {
				done.Left = &response.ContentLength
			}
			err = d.use(response.Body, get.Body, &done)
		}
	}
	if err != nil {
		done.Failure = failure(err)
	}
	d.tell("done", done)
}

// use does with the body what is asked for.
func (d *driver) use(body io.ReadCloser, how string, done *Done) (err error) {
	switch how {
	case "drain":
		done.Read, err = io.Copy(io.Discard, body)
		body.Close()
	case "drop":
		body.Close()
	default:
		d.mutex.Lock()
		d.held = append(d.held, body)
		d.mutex.Unlock()
	}
	return err
}

// release lets go of the bodies that are held.
func (d *driver) release() {
	d.mutex.Lock()
	held := d.held
	d.held = nil
	d.mutex.Unlock()
	for _, body := range held {
		body.Close()
	}
	d.tell("released", nil)
}

// tell writes a line.
func (d *driver) tell(what string, value any) {
	line, err := json.Marshal(map[string]any{what: value})
	if err != nil {
		panic(err)
	}
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.out.Write(append(line, '\n'))
	d.out.Flush()
}
