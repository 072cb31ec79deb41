package wire

import "testing"

func BenchmarkParseGet(b *testing.B) {
	datagram := requestCases()[0].build()
	var r Request
	var o Op
	b.ReportAllocs()
	for b.Loop() {
		if ParseRequest(datagram, &r) != ReasonNone {
			b.Fatal("a good request is refused")
		}
		for ops := r.Ops(); ops.Next(&o); {
		}
	}
}

func BenchmarkParseMultiGet32(b *testing.B) {
	header := RequestHeader{}
	datagram := AppendRequest(nil, &header)
	get := op(Get, "some:key:16bytes", nil)
	for range 32 {
		datagram = AppendOp(datagram, 0, &get)
	}
	var r Request
	var o Op
	for b.Loop() {
		ParseRequest(datagram, &r)
		for ops := r.Ops(); ops.Next(&o); {
		}
	}
}

func BenchmarkReplyHit100B(b *testing.B) {
	buf, value := make([]byte, 1472), make([]byte, 100)
	header := ReplyHeader{}
	o := ReplyOp{Code: Get, Value: value, TotalBytes: 100}
	for _, sums := range []bool{false, true} {
		name := map[bool]string{false: "no sums", true: "sums"}[sums]
		b.Run(name, func(b *testing.B) {
			var w ReplyWriter
			for b.Loop() {
				w.Begin(buf, &header, sums)
				w.AppendSummed(&o, 0x1234)
				w.Finish()
			}
		})
	}
}

func BenchmarkKeyHash16B(b *testing.B) {
	key := []byte("some:key:16bytes")
	for b.Loop() {
		KeyHash(key)
	}
}

func BenchmarkParsePlainGet(b *testing.B) {
	datagram := requestCases()[0].build()
	var r Request
	for b.Loop() {
		if ParseRequest(datagram, &r) != ReasonNone {
			b.Fatal("a good request is refused")
		}
		if _, _, next := r.PlainGet(0); next == 0 {
			b.Fatal("not a plain GET")
		}
	}
}
