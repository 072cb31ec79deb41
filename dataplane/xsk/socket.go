package xsk

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Socket is an AF_XDP socket with its UMEM and four queues: the raw floor. It is
// not safe for concurrent use.
//
// A user of raw frames does, over and over: Supply free frames for receiving,
// Receive packets, write packets into free frames and Submit them, Push, Reclaim
// what was sent; and keeps track of which frames are free. Frame i begins at
// address i × FrameBytes. Packets received begin behind XDP_PACKET_HEADROOM (256
// bytes) or later; those to send may begin anywhere in a frame and must end in it.
type Socket struct {
	opt        Options
	fd         int
	ifindex    int
	umem       *umem
	fill       fillQueue
	rx         rxQueue
	tx         txQueue
	completion completionQueue
	zeroCopy   bool // as the kernel confirmed
	useSG      bool
	wholeTx    bool // one wake-up sends the whole tx queue
	// What poll reads and writes, here because it must not be allocated.
	pollFDs     [1]unix.PollFd
	pollTimeout unix.Timespec
}

// OpenSocket opens and binds a socket. It needs CAP_NET_RAW, and CAP_IPC_LOCK or a
// high RLIMIT_MEMLOCK for the UMEM; nothing after it does. An XDP program must put
// it into an XSKMAP before it receives anything.
func OpenSocket(o Options) (_ *Socket, err error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	link, err := net.InterfaceByName(o.Interface)
	if err != nil {
		return nil, fmt.Errorf("xsk: interface %s: %w", o.Interface, err)
	}
	s := &Socket{opt: o, fd: -1, ifindex: link.Index, useSG: o.MultiBuffer || o.Slabs.tails()}
	defer func() {
		if err != nil {
			_ = s.Close()
		}
	}()
	for _, step := range []func() error{s.checkKernel, s.openUmem, s.create, s.makeQueues, s.tune, s.bind, s.confirm} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// checkKernel refuses tails in descriptors of their own where sending them wrongly
// loses frames.
func (s *Socket) checkKernel() error {
	if !s.opt.Slabs.tails() {
		return nil
	}
	return tailsSupported(runningKernel())
}

func (s *Socket) openUmem() (err error) {
	s.umem, err = openUmem(&s.opt)
	return err
}

func (s *Socket) create() error {
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	switch {
	case err == nil:
		s.fd = fd
		return nil
	case errors.Is(err, unix.EPERM):
		return &PrivilegeError{"open an AF_XDP socket", "CAP_NET_RAW", err}
	case errors.Is(err, unix.EAFNOSUPPORT):
		return &UnsupportedError{"AF_XDP", "a kernel with CONFIG_XDP_SOCKETS", err}
	}
	return os.NewSyscallError("open an AF_XDP socket", err)
}

// makeQueues registers the memory and maps the four queues.
func (s *Socket) makeQueues() error {
	registration := s.umem.registration()
	if err := setOption(s.fd, unix.XDP_UMEM_REG, &registration); err != nil {
		return s.umemError(err)
	}
	entries := uint32(s.opt.Slots)
	for _, which := range []int{unix.XDP_UMEM_FILL_RING, unix.XDP_UMEM_COMPLETION_RING, unix.XDP_RX_RING, unix.XDP_TX_RING} {
		if err := setOption(s.fd, which, &entries); err != nil {
			return fmt.Errorf("xsk: queue (option %d) of %d entries: %w", which, entries, err)
		}
	}
	var offsets unix.XDPMmapOffsets
	if err := getOption(s.fd, unix.XDP_MMAP_OFFSETS, &offsets); err != nil {
		return os.NewSyscallError("XDP_MMAP_OFFSETS", err)
	}
	return s.mapQueues(&offsets)
}

func (s *Socket) mapQueues(offsets *unix.XDPMmapOffsets) error {
	const addrBytes, descBytes = 8, 16
	for _, q := range []struct {
		into       *shared
		page       int64
		offsets    unix.XDPRingOffset
		entryBytes int
	}{
		{&s.fill.shared, unix.XDP_UMEM_PGOFF_FILL_RING, offsets.Fr, addrBytes},
		{&s.completion.shared, unix.XDP_UMEM_PGOFF_COMPLETION_RING, offsets.Cr, addrBytes},
		{&s.rx.shared, unix.XDP_PGOFF_RX_RING, offsets.Rx, descBytes},
		{&s.tx.shared, unix.XDP_PGOFF_TX_RING, offsets.Tx, descBytes},
	} {
		mapped, err := mapQueue(s.fd, q.page, q.offsets, s.opt.Slots, q.entryBytes)
		if err != nil {
			return err
		}
		*q.into = mapped
	}
	s.fill.addrs = entriesOf[uint64](&s.fill.shared, offsets.Fr)
	s.completion.addrs = entriesOf[uint64](&s.completion.shared, offsets.Cr)
	s.rx.descs = entriesOf[Desc](&s.rx.shared, offsets.Rx)
	s.tx.descs = entriesOf[Desc](&s.tx.shared, offsets.Tx)
	return nil
}

func (s *Socket) umemError(err error) error {
	switch {
	case errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.EPERM):
		return &PrivilegeError{
			fmt.Sprintf("register a UMEM of %d bytes", len(s.umem.memory)), "CAP_IPC_LOCK, or raise RLIMIT_MEMLOCK (ulimit -l)", err,
		}
	case errors.Is(err, unix.EFAULT):
		return &UnsupportedError{"this memory as a UMEM", "anonymous memory or a file on hugetlbfs or tmpfs", err}
	}
	return fmt.Errorf("xsk: register a UMEM of %d bytes: %w", len(s.umem.memory), err)
}

// tune sets what must be set before privileges are dropped.
func (s *Socket) tune() error {
	budget := uint32(s.opt.Slots)
	s.wholeTx = setOption(s.fd, unix.XDP_MAX_TX_SKB_BUDGET, &budget) == nil // since Linux 6.17; else 32 a wake-up
	// In copy mode packets in flight are charged to the socket. Make room for a whole
	// queue of them; without the privilege the system's limit has to do.
	sendBytes := min(s.opt.Slots*(s.opt.FrameBytes+1024), 256<<20)
	if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBytes) != nil {
		_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, sendBytes)
	}
	if s.opt.BusyPollMicros == 0 {
		return nil
	}
	for _, o := range []struct{ which, value int }{
		{unix.SO_PREFER_BUSY_POLL, 1},
		{unix.SO_BUSY_POLL, s.opt.BusyPollMicros},
		{unix.SO_BUSY_POLL_BUDGET, s.opt.MaxBatch},
	} {
		if err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, o.which, o.value); err != nil {
			return fmt.Errorf("xsk: busy polling (socket option %d = %d): %w", o.which, o.value, err)
		}
	}
	return nil
}

// bindStep is the pause between two tries. A dead process' queue is free after
// about 80 ms.
const bindStep = 20 * time.Millisecond

// bind binds to the queue, again and again while another socket still has it.
func (s *Socket) bind() error {
	flags := uint16(unix.XDP_USE_NEED_WAKEUP | unix.XDP_COPY)
	if s.opt.Bind == BindZeroCopy {
		flags = unix.XDP_USE_NEED_WAKEUP | unix.XDP_ZEROCOPY
	}
	if s.useSG {
		flags |= unix.XDP_USE_SG
	}
	to := &unix.SockaddrXDP{Flags: flags, Ifindex: uint32(s.ifindex), QueueID: uint32(s.opt.Queue)}
	for waited := time.Duration(0); ; waited += bindStep {
		err := unix.Bind(s.fd, to)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || waited >= s.opt.BindWait {
			return s.bindError(err)
		}
		time.Sleep(bindStep)
	}
}

func (s *Socket) bindError(err error) error {
	where := fmt.Sprintf("queue %d of %s", s.opt.Queue, s.opt.Interface)
	switch {
	case errors.Is(err, unix.EBUSY):
		return &BusyError{s.opt.Interface, s.opt.Queue, err}
	case errors.Is(err, unix.EPERM):
		return &PrivilegeError{"bind to " + where, "CAP_NET_RAW", err}
	case errors.Is(err, unix.EOPNOTSUPP) && s.useSG && s.opt.Bind == BindZeroCopy:
		return &UnsupportedError{"packets of several descriptors (XDP_USE_SG) in zero-copy on " + where, "a driver with xdp_zc_max_segs above 1, in zero-copy", err}
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOTSUP):
		return &UnsupportedError{s.opt.Bind.String() + " on " + where, "a driver with AF_XDP zero-copy", err}
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("bind to %s (%s): does the interface have that queue? %w", where, s.opt.Bind, err)
	case errors.Is(err, unix.ENETDOWN):
		return fmt.Errorf("bind to %s: the interface is down, `ip link set dev %s up`: %w", where, s.opt.Interface, err)
	}
	return fmt.Errorf("bind to %s (%s): %w", where, s.opt.Bind, err)
}

// confirm asks the kernel what it gave.
func (s *Socket) confirm() error {
	var flags uint32
	if err := getOption(s.fd, unix.XDP_OPTIONS, &flags); err != nil {
		return os.NewSyscallError("XDP_OPTIONS", err)
	}
	s.zeroCopy = flags&unix.XDP_OPTIONS_ZEROCOPY != 0
	if want := s.opt.Bind == BindZeroCopy; s.zeroCopy != want {
		return &UnsupportedError{Feature: s.opt.Bind.String() + " on " + s.opt.Interface, Needs: fmt.Sprintf("a kernel that keeps to what was asked (XDP_OPTIONS %#x)", flags)}
	}
	return nil
}

// FD is the socket's descriptor, for an XSKMAP and for poll.
func (s *Socket) FD() int { return s.fd }

// ZeroCopy says that the card itself reads and writes the frames.
func (s *Socket) ZeroCopy() bool { return s.zeroCopy }

// Frames is the number of frames.
func (s *Socket) Frames() int { return s.opt.Frames }

// FrameBytes is the size of a frame.
func (s *Socket) FrameBytes() int { return s.opt.FrameBytes }

// Bytes is the memory that a descriptor names. Nil when it lies outside the UMEM.
func (s *Socket) Bytes(d Desc) []byte {
	if d.Addr+uint64(d.Len) > uint64(len(s.umem.memory)) || d.Addr > uint64(len(s.umem.memory)) {
		return nil
	}
	end := d.Addr + uint64(d.Len)
	return s.umem.memory[d.Addr:end:end]
}

// Supply gives frames, named by their addresses, to receive into. It returns how
// many were taken; they belong to the kernel.
func (s *Socket) Supply(addrs []uint64) int {
	n := int(s.fill.room(uint32(len(addrs))))
	for _, a := range addrs[:n] {
		s.fill.put(a)
	}
	s.fill.publish()
	return n
}

// Receive gets descriptors of packets. Their frames belong to the caller.
func (s *Socket) Receive(descs []Desc) int {
	n := int(s.rx.available(uint32(len(descs))))
	for i := range n {
		descs[i] = s.rx.get()
	}
	s.rx.release()
	return n
}

// Submit takes packets to send. It returns how many descriptors were taken; their
// memory belongs to the kernel until Reclaim returns it. Push makes them leave. No
// more than the queues' entries may be on their way at a time.
func (s *Socket) Submit(descs []Desc) int {
	n := int(s.tx.room(uint32(len(descs))))
	for _, d := range descs[:n] {
		s.tx.put(d)
	}
	s.tx.publish()
	return n
}

// Reclaim gets the addresses of descriptors that have been sent.
func (s *Socket) Reclaim(addrs []uint64) int {
	n := int(s.completion.available(uint32(len(addrs))))
	for i := range n {
		addrs[i] = s.completion.get()
	}
	s.completion.release()
	return n
}

// Push wakes the kernel where it asks for it: one system call or none. (Where the
// kernel sends at most 32 packets a call, before Linux 6.17 in copy mode, one for
// each 32.)
func (s *Socket) Push() error {
	tx := s.tx.needsWakeup() && s.tx.unsent() > 0
	rx := s.fill.needsWakeup()
	switch {
	case tx && rx:
		return s.pushBoth()
	case tx:
		return s.pushTx()
	case rx || s.opt.BusyPollMicros > 0:
		return passing(kickRx(s.fd))
	}
	return nil
}

// pushBoth wakes the driver for both directions: poll does that.
func (s *Socket) pushBoth() error {
	s.pollFDs[0] = unix.PollFd{Fd: int32(s.fd), Events: unix.POLLIN | unix.POLLOUT}
	_, err := unix.Poll(s.pollFDs[:], 0)
	return passing(err)
}

func (s *Socket) pushTx() error {
	err := kickTx(s.fd)
	for rest := s.opt.Slots; !s.wholeTx && errors.Is(err, unix.EAGAIN) && s.tx.unsent() > 0 && rest > 0; rest -= 32 {
		err = kickTx(s.fd)
	}
	return passing(err)
}

// passing hides the errors that say: not now. What was not sent is tried again at
// the next Push.
func passing(err error) error {
	switch {
	case err == nil, errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EBUSY), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.EINTR):
		return nil
	case errors.Is(err, unix.ENETDOWN):
		return fmt.Errorf("xsk: the interface is down: %w", err)
	}
	return fmt.Errorf("xsk: wake the driver: %w", err)
}

// Wait sleeps until a packet can be received or the timeout has passed; a negative
// one waits for ever.
func (s *Socket) Wait(timeout time.Duration) error {
	s.pollFDs[0] = unix.PollFd{Fd: int32(s.fd), Events: unix.POLLIN}
	var until *unix.Timespec
	if timeout >= 0 {
		s.pollTimeout = unix.NsecToTimespec(int64(timeout))
		until = &s.pollTimeout
	}
	if _, err := unix.Ppoll(s.pollFDs[:], until, nil); err != nil && !errors.Is(err, unix.EINTR) {
		return os.NewSyscallError("ppoll", err)
	}
	return nil
}

// Statistics are the kernel's counters of the socket.
func (s *Socket) Statistics() (unix.XDPStatistics, error) {
	var st unix.XDPStatistics
	if err := getOption(s.fd, unix.XDP_STATISTICS, &st); err != nil {
		return st, os.NewSyscallError("XDP_STATISTICS", err)
	}
	return st, nil
}

// Close unmaps the queues first: while one is mapped, the kernel keeps the socket,
// and the hardware queue stays taken.
func (s *Socket) Close() error {
	var errs []error
	for _, q := range []*shared{&s.fill.shared, &s.rx.shared, &s.tx.shared, &s.completion.shared} {
		if q.memory != nil {
			errs = append(errs, os.NewSyscallError("munmap", unix.Munmap(q.memory)))
			q.memory = nil
		}
	}
	if s.fd >= 0 {
		errs = append(errs, os.NewSyscallError("close", unix.Close(s.fd)))
		s.fd = -1
	}
	if s.umem != nil {
		errs = append(errs, s.umem.close())
		s.umem = nil
	}
	return errors.Join(errs...)
}
