package clienttest

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"gannet/ring"
	"gannet/wire"
)

// Config describes a test node. The zero value of a field is its default.
type Config struct {
	Shards        int    // 1
	MaxValueBytes int    // 1 MiB
	Port          int    // of shard 0; 0 = any that is free
	NodeID        uint64 // 1
	NoCookies     bool
	// ForgetTransfers makes the node forget an upload as soon as it is whole, so
	// that a part that comes again begins a new one.
	ForgetTransfers bool
	Echo            bool // answer long PINGs by long replies, so that clients prove long paths
	// Queue says on which rx queue requests of a source port to a shard arrive;
	// by default on the shard's own.
	Queue func(shard int, sourcePort uint16) uint16
}

// Server is a test node.
type Server struct {
	config Config
	base   uint16
	socks  []*net.UDPConn
	done   sync.WaitGroup

	mu      sync.Mutex
	store   store
	network *network
	forced  []forcedAnswer
	secret  uint64
	ring    *ring.Ring     // nil: none
	control netip.AddrPort // of Member; zero: none
	counts  [wire.OpcodeCount]int
	ports   map[uint16]int // requests by source port
}

// forcedAnswer answers the next operations of a kind with a status.
type forcedAnswer struct {
	code   wire.Opcode
	status wire.Status
	times  int
}

// New starts a node that ends with the test.
func New(t testing.TB, config Config) *Server {
	t.Helper()
	s, err := Start(config)
	if err != nil {
		t.Fatalf("start a test node: %v", err)
	}
	t.Cleanup(s.Close)
	return s
}

// Start starts a node. Its shards listen on neighbouring loopback ports.
func Start(config Config) (*Server, error) {
	config.Shards = max(config.Shards, 1)
	config.NodeID = max(config.NodeID, 1)
	if config.MaxValueBytes == 0 {
		config.MaxValueBytes = wire.MaxValueBytes
	}
	s := &Server{config: config, secret: 0x5EC1, ports: map[uint16]int{}}
	s.store.init(&config)
	s.network = newNetwork(Faults{})
	for range 200 {
		if s.listen() == nil {
			s.serve()
			return s, nil
		}
	}
	return nil, fmt.Errorf("no %d neighbouring UDP ports free on loopback", config.Shards)
}

// listen tries to bind neighbouring ports.
func (s *Server) listen() error {
	loopback := net.IPv4(127, 0, 0, 1)
	for shard := range s.config.Shards {
		port := s.config.Port
		if shard > 0 {
			port = int(s.base) + shard
		}
		sock, err := net.ListenUDP("udp4", &net.UDPAddr{IP: loopback, Port: port})
		if err != nil {
			s.closeSockets()
			return err
		}
		_ = sock.SetReadBuffer(4 << 20) // best effort
		if shard == 0 {
			s.base = sock.LocalAddr().(*net.UDPAddr).AddrPort().Port()
		}
		s.socks = append(s.socks, sock)
	}
	return nil
}

func (s *Server) closeSockets() {
	for _, sock := range s.socks {
		sock.Close()
	}
	s.socks = nil
}

func (s *Server) serve() {
	for shard, sock := range s.socks {
		s.done.Go(func() { s.read(shard, sock) })
	}
}

// Addr is the address of shard 0, for client.Open.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.base) }

// Close stops the node. Its ports refuse packets from then on.
func (s *Server) Close() {
	s.closeSockets()
	s.done.Wait()
}

// Stop closes the ports and keeps the items; Restart opens the same ports again.
func (s *Server) Stop() { s.Close() }

// Restart opens the ports again after Stop.
func (s *Server) Restart() error {
	for shard := range s.config.Shards {
		sock, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(s.base) + shard})
		if err != nil {
			return fmt.Errorf("restart the test node: %w", err)
		}
		s.socks = append(s.socks, sock)
	}
	s.serve()
	return nil
}

// SetFaults changes what goes wrong from now on.
func (s *Server) SetFaults(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.network = newNetwork(f)
}

// Answer makes the node answer the next operations of a kind with a status,
// so many times, instead of doing them.
func (s *Server) Answer(code wire.Opcode, status wire.Status, times int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forced = append(s.forced, forcedAnswer{code, status, times})
}

// RotateCookies makes all cookies given out so far worthless.
func (s *Server) RotateCookies() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secret++
}

// Count is how many operations of a kind have arrived.
func (s *Server) Count(code wire.Opcode) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[code]
}

// SourcePorts is how many requests came from each source port.
func (s *Server) SourcePorts() map[uint16]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[uint16]int, len(s.ports))
	for port, n := range s.ports {
		out[port] = n
	}
	return out
}

// Set stores an item behind the clients' backs and returns its version.
func (s *Server) Set(key string, value []byte) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.store.put(key, value, 0, 0)
}

// Forget removes an item behind the clients' backs.
func (s *Server) Forget(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.store.items, key)
}

// Stale puts an item past its soft TTL.
func (s *Server) Stale(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if it := s.store.items[key]; it != nil {
		it.stale = true
	}
}

// LapseLeases ends all leases by time.
func (s *Server) LapseLeases() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, held := range s.store.leases {
		held.lapsed = true
		s.store.leases[key] = held
	}
}

// Leased says whether somebody holds a key's lease.
func (s *Server) Leased(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	held, ok := s.store.leases[key]
	return ok && !held.lapsed
}

// Grant lets clients keep a key's item for some milliseconds; 0: no more.
func (s *Server) Grant(key string, millis uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store.grants[key] = millis
}

// Value returns what is stored under a key, nil for nothing.
func (s *Server) Value(key string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if it := s.store.items[key]; it != nil {
		return it.value
	}
	return nil
}

// SetLocked is Set for use inside the functions of Faults, which the node calls
// under its lock.
func (s *Server) SetLocked(key string, value []byte) uint64 {
	return s.store.put(key, value, 0, 0)
}

// read serves one shard's socket.
func (s *Server) read(shard int, sock *net.UDPConn) {
	buf := make([]byte, wire.MaxDatagramBytes)
	for {
		n, from, err := sock.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		replies, delay := s.handle(shard, from, buf[:n])
		for _, reply := range replies {
			s.send(sock, from, reply, delay)
		}
	}
}

// send sends a reply, now or later. A late one may find the socket closed.
func (s *Server) send(sock *net.UDPConn, to netip.AddrPort, reply []byte, delay func([]byte) time.Duration) {
	if delay == nil {
		_, _ = sock.WriteToUDPAddrPort(reply, to)
		return
	}
	s.done.Add(1)
	time.AfterFunc(delay(reply), func() {
		defer s.done.Done()
		_, _ = sock.WriteToUDPAddrPort(reply, to)
	})
}
