package transport

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"gannet/replication"
)

// A stream between two nodes begins with a greeting of each side (magic, its id), and
// goes on with frames: the length of a message as u32, little-endian, and the message.

const (
	greetingBytes = 16
	// maxFrameBytes bounds what a neighbour can make this process hold: the largest
	// value, or a part of a repair with one such value at its end.
	maxFrameBytes = 4 << 20
	// linkQueue is how many frames may wait for a neighbour to read; windows of the
	// group's logic stay well below.
	linkQueue    = 4096
	greetTimeout = 2 * time.Second
	// A neighbour that takes no bytes for so long is not there.
	writeTimeout = 5 * time.Second
)

var greeting = [8]byte{'G', 'N', 'R', 'E', 'P', 'L', '0', '1'}

// The ways a stream can be refused.
var (
	ErrGreeting  = errors.New("the other side does not speak gannet-replication/1")
	ErrFrame     = fmt.Errorf("a frame is longer than %d bytes", maxFrameBytes)
	ErrWrongPeer = errors.New("another node answered than the one that was dialled; check the members' control addresses")
	ErrImpostor  = errors.New("the connection's certificate is not that of the node it says it is")
)

// link is one connection to a node.
type link struct {
	peer   uint64
	conn   net.Conn
	frames chan []byte
	closed chan struct{}
	once   sync.Once
}

// greet exchanges ids. want 0 takes any.
func greet(conn net.Conn, self, want uint64) (peer uint64, err error) {
	if err := conn.SetDeadline(time.Now().Add(greetTimeout)); err != nil {
		return 0, err
	}
	var b [greetingBytes]byte
	copy(b[:], greeting[:])
	binary.LittleEndian.PutUint64(b[8:], self)
	if _, err := conn.Write(b[:]); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(conn, b[:]); err != nil {
		return 0, err
	}
	if [8]byte(b[:8]) != greeting {
		return 0, ErrGreeting
	}
	if peer = binary.LittleEndian.Uint64(b[8:]); peer == self || want != 0 && peer != want {
		return 0, ErrWrongPeer
	}
	return peer, conn.SetDeadline(time.Time{})
}

func newLink(peer uint64, conn net.Conn) *link {
	return &link{peer: peer, conn: conn, frames: make(chan []byte, linkQueue), closed: make(chan struct{})}
}

// send queues a frame. A link whose queue is full is cut: the stream begins anew.
func (l *link) send(frame []byte) {
	select {
	case l.frames <- frame:
	case <-l.closed:
	default:
		l.close()
	}
}

func (l *link) close() {
	l.once.Do(func() {
		close(l.closed)
		l.conn.Close()
	})
}

// write moves frames to the wire until the link is closed.
func (l *link) write() {
	defer l.close()
	w := bufio.NewWriterSize(l.conn, 64<<10)
	for {
		select {
		case <-l.closed:
			return
		case frame := <-l.frames:
			if l.writeFrame(w, frame) != nil {
				return
			}
		}
	}
}

func (l *link) writeFrame(w *bufio.Writer, frame []byte) error {
	if err := l.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	var head [4]byte
	binary.LittleEndian.PutUint32(head[:], uint32(len(frame)))
	if _, err := w.Write(head[:]); err != nil {
		return err
	}
	if _, err := w.Write(frame); err != nil {
		return err
	}
	if len(l.frames) > 0 {
		return nil // more comes at once
	}
	return w.Flush()
}

// read hands messages on until the link ends, and returns why it did.
func (l *link) read(deliver func(replication.Message)) error {
	defer l.close()
	r := bufio.NewReaderSize(l.conn, 64<<10)
	var head [4]byte
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return err
		}
		n := binary.LittleEndian.Uint32(head[:])
		if n > maxFrameBytes {
			return ErrFrame
		}
		frame := make([]byte, n)
		if _, err := io.ReadFull(r, frame); err != nil {
			return err
		}
		m, err := replication.DecodeMessage(frame)
		if err != nil {
			return err
		}
		deliver(m)
	}
}

// isReset says whether an error is the word of a living machine that the process at
// the other end is gone.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EPIPE)
}
