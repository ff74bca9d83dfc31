package main

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// conn is a connection that knows how it ends.
type conn struct {
	*net.TCPConn
	driver      *driver
	id          uint64
	established time.Time
	exchanges   uint64
	saw         atomic.Value // "server" after its FIN, "reset" after a reset
	once        sync.Once
}

func (d *driver) dial(ctx context.Context, dialer *net.Dialer, network, address string) (net.Conn, error) {
	exchange, _ := ctx.Value(exchangeKey{}).(uint64)
	id := atomic.AddUint64(&d.conns, 1)
	d.event(exchange, id, object{"connect_start": object{"server": address}})
	done := func(result object) {
		d.event(exchange, id, object{"connect_done": object{"server": address, "result": result}})
	}
	dialled, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		done(object{"Err": err.Error()})
		return nil, err
	}
	done(object{"Ok": dialled.LocalAddr().String()})
	return &conn{TCPConn: dialled.(*net.TCPConn), driver: d, id: id, established: time.Now()}, nil
}

func (c *conn) count() { atomic.AddUint64(&c.exchanges, 1) }

func (c *conn) Read(bytes []byte) (int, error) {
	count, err := c.TCPConn.Read(bytes)
	c.note(err)
	return count, err
}

func (c *conn) Write(bytes []byte) (int, error) {
	count, err := c.TCPConn.Write(bytes)
	c.note(err)
	return count, err
}

func (c *conn) note(err error) {
	switch {
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		c.saw.Store("reset")
	case errors.Is(err, io.EOF):
		c.saw.CompareAndSwap(nil, "server")
	}
}

// Close tells who closed first, and what lay unread.
func (c *conn) Close() error {
	c.once.Do(func() {
		by, unread := c.ending()
		why := any("not_observable")
		switch by {
		case "server":
			why = known("server_closed")
		case "reset":
			why = known("server_reset")
		}
		err := c.TCPConn.Close()
		_ = err // Whatever it is, the connection is gone.
		c.driver.event(0, c.id, object{"connection_closed": object{
			"by": by, "why": why, "age_us": time.Since(c.established).Microseconds(),
			"exchanges": atomic.LoadUint64(&c.exchanges), "unread_bytes": unread,
		}})
	})
	return nil
}

// ending looks at what lies in the kernel before the close.
func (c *conn) ending() (by string, unread int32) {
	by = "client"
	if saw, ok := c.saw.Load().(string); ok {
		by = saw
	}
	raw, err := c.TCPConn.SyscallConn()
	if err != nil {
		return by, 0
	}
	// Looks only; the reader may wait in a read of its own meanwhile.
	_ = raw.Control(func(fd uintptr) {
		const bytesToRead = 0x541B // FIONREAD
		syscall.Syscall(syscall.SYS_IOCTL, fd, bytesToRead, uintptr(unsafe.Pointer(&unread)))
		count, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case err == nil && count == 0 && by == "client":
			by = "server"
		case errors.Is(err, syscall.ECONNRESET):
			by = "reset"
		}
	})
	return by, unread
}
