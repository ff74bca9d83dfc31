package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"syscall"
	"time"
)

// Failure is the kind of an error, in the lab's words, and Go's own words.
type Failure struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
}

func failure(err error) *Failure {
	kind := "other"
	var dns *net.DNSError
	var network net.Error
	text := err.Error()
	switch {
	case errors.As(err, &dns):
		kind = "name_not_found"
	case errors.Is(err, syscall.ECONNREFUSED):
		kind = "refused"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		kind = "unreachable"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		kind = "no_port_left"
	case errors.Is(err, syscall.EMFILE):
		kind = "no_descriptor_left"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		kind = "reset"
	case errors.As(err, &network) && network.Timeout():
		kind = "timed_out"
	case strings.Contains(text, "malformed HTTP"):
		kind = "not_http"
	case errors.Is(err, io.ErrUnexpectedEOF):
		kind = "cut_short"
	case errors.Is(err, io.EOF), strings.Contains(text, "server closed idle connection"):
		kind = "closed_before_response"
	}
	return &Failure{Kind: kind, Message: text}
}

// object is a moment with fields, as the lab reads it.
type object = map[string]any

func known(value any) object { return object{"known": value} }

// event tells a moment; exchange or connection 0 is none.
func (d *driver) event(exchange, connection uint64, moment any) {
	id := func(number uint64) any {
		if number == 0 {
			return nil
		}
		return number
	}
	d.tell("event", object{
		"wall_ns":    time.Now().UnixNano(),
		"exchange":   id(exchange),
		"connection": id(connection),
		"moment":     moment,
	})
}

type exchangeKey struct{}

// traced returns a context whose request tells its moments.
func (d *driver) traced(exchange uint64) context.Context {
	var connection uint64
	tell := func(moment any) { d.event(exchange, connection, moment) }
	result := func(err error) any {
		if err != nil {
			return object{"Err": err.Error()}
		}
		return object{"Ok": nil}
	}
	trace := &httptrace.ClientTrace{
		GetConn: func(hostPort string) {
			d.event(exchange, 0, object{"get_conn": object{"host_port": hostPort}})
		},
		GotConn: func(info httptrace.GotConnInfo) {
			conn, ok := info.Conn.(*conn)
			if !ok {
				return
			}
			connection = conn.id
			conn.count()
			var idle any
			if info.WasIdle {
				idle = info.IdleTime.Microseconds()
			}
			tell(object{"got_conn": object{
				"client": conn.LocalAddr().String(), "reused": info.Reused,
				"was_idle": known(info.WasIdle), "idle_time_us": known(idle),
			}})
		},
		WroteHeaderField: func(name string, values []string) {
			for _, value := range values {
				tell(object{"wrote_header_field": object{"name": name, "value": value}})
			}
		},
		WroteHeaders:    func() { tell("wrote_headers") },
		Wait100Continue: func() { tell("wait100_continue") },
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			tell(object{"wrote_request": object{"result": result(info.Err)}})
		},
		GotFirstResponseByte: func() { tell("got_first_response_byte") },
		Got100Continue:       func() { tell("got100_continue") },
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			fields := [][2]string{}
			for name, values := range header {
				for _, value := range values {
					fields = append(fields, [2]string{name, value})
				}
			}
			tell(object{"got1xx_response": object{"code": code, "headers": fields}})
			return nil
		},
		PutIdleConn: func(err error) {
			tell(object{"put_idle_conn": object{"refused": d.refusal(err)}})
		},
	}
	ctx := context.WithValue(context.Background(), exchangeKey{}, exchange)
	return httptrace.WithClientTrace(ctx, trace)
}

// refusal tells in the lab's words why a connection is not pooled.
func (d *driver) refusal(err error) any {
	switch {
	case err == nil:
		return nil
	case strings.Contains(err.Error(), "too many idle connections for host"):
		return object{"idle_cap_reached": object{"per_host": d.setUp.PerHost}}
	case strings.Contains(err.Error(), "too many idle connections") && d.setUp.MaxIdle != nil:
		return object{"total_cap_reached": object{"max_idle": *d.setUp.MaxIdle}}
	case strings.Contains(err.Error(), "keep alives disabled"):
		if d.setUp.KeepAlives { // which is what Go says of a pool that keeps none
			return object{"idle_cap_reached": object{"per_host": d.setUp.PerHost}}
		}
		return "keep_alives_disabled"
	case strings.Contains(err.Error(), "CloseIdleConnections"):
		return "transport_closed"
	}
	return "connection_broken"
}
