package wire

// patch overwrites bytes of a datagram at an offset.
type patch struct {
	at    int
	bytes []byte
}

// malformedCases takes one good datagram after the other and breaks one rule of each.
func malformedCases() []malformedVector {
	return append(malformedRequests(), malformedReplies()...)
}

func broken(direction string, good []byte, name string, reason Reason, patches ...patch) malformedVector {
	b := append([]byte(nil), good...)
	for _, p := range patches {
		copy(b[p.at:], p.bytes)
	}
	return malformedVector{name, direction, reason.String(), b}
}

func malformedRequests() []malformedVector {
	header := vectorHeader("user:42")
	build := func(ops ...Op) []byte { return buildRequest(&header, ops) }
	get, put := build(op(Get, "user:42", nil)), build(op(Put, "user:42", []byte("hello")))
	hello, touch := build(op(Hello, "", make([]byte, MinHelloPadBytes))), build(op(Touch, "user:42", nil))
	part := op(Put, "film", counting(SegmentBytes))
	part.Flags, part.TotalBytes = OpSegment, 5000
	segment := build(part)
	part.Code, part.Value = Get, nil
	wanted := build(part)
	extended := AppendExtension(AppendRequest(nil, &header), 0, Extension{Type: 5, Data: counting(8)})
	getOp := op(Get, "user:42", nil)
	extended = AppendOp(extended, 0, &getOp)
	const at = RequestHeaderBytes
	bad := func(good []byte, name string, reason Reason, patches ...patch) malformedVector {
		return broken("request", good, name, reason, patches...)
	}
	vectors := []malformedVector{
		bad(nil, "empty", ReasonShort),
		bad(get[:RequestHeaderBytes-1], "header_cut", ReasonShort),
		bad(get, "magic", ReasonMagic, patch{0, []byte{0x46}}),
		bad(get, "format_version_2", ReasonVersion, patch{OffsetVersion, []byte{2}}),
		bad(get, "a_reply", ReasonDirection, patch{OffsetFlags, []byte{1}}),
		bad(get, "undefined_flag", ReasonFlags, patch{OffsetFlags, []byte{0x10}}),
		bad(get, "sealed_and_auth", ReasonFlags, patch{OffsetFlags, []byte{6}}),
		bad(get, "sealed_without_session", ReasonSealed, patch{OffsetFlags, []byte{2}}),
		bad(get, "auth_without_session", ReasonSealed, patch{OffsetFlags, []byte{4}}),
		bad(get, "packet_number_in_trusted_mode", ReasonPacketNumber, patch{OffsetPacketNumber, []byte{1}}),
		bad(get, "tag_in_trusted_mode", ReasonPacketNumber, patch{OffsetTag + 15, []byte{1}}),
		bad(get, "header_shorter_than_its_fixed_part", ReasonHeaderLength, patch{OffsetHeaderWords, []byte{11}}),
		bad(get, "header_longer_than_the_datagram", ReasonHeaderLength, patch{OffsetHeaderWords, []byte{17}}),
		bad(get, "no_operation", ReasonOpCount, patch{OffsetOpCount, []byte{0}}),
		bad(get, "epoch_of_25_bits", ReasonEpoch, patch{OffsetEpoch + 3, []byte{1}}),
		bad(get, "reply_room_under_a_segment", ReasonReplyRoom, patch{OffsetMaxReplyBytes, []byte{0x8F, 0x04}}),
		bad(extended, "extension_of_length_0", ReasonExtension, patch{at + 2, []byte{0}}),
		bad(extended, "extension_not_a_multiple_of_8", ReasonExtension, patch{at + 2, []byte{12}}),
		bad(extended, "extension_over_the_header", ReasonExtension, patch{at + 2, []byte{24}}),
		bad(extended, "unknown_extension_must_be_understood", ReasonMustUnderstand, patch{at + 1, []byte{0x80}}),
		bad(get[:RequestHeaderBytes+16], "operation_cut", ReasonOpBounds),
		bad(get, "more_operations_counted", ReasonOpBounds, patch{OffsetOpCount, []byte{2}}),
		bad(segment[:RequestHeaderBytes+OpHeaderBytes+8], "segment_header_cut", ReasonOpBounds),
		bad(get, "opcode_0", ReasonOpcode, patch{at, []byte{0}}),
		bad(get, "opcode_13", ReasonOpcode, patch{at, []byte{13}}),
		bad(get, "undefined_operation_flag", ReasonOpFlags, patch{at + 1, []byte{0x20}}),
		bad(put, "lease_flag_on_a_put", ReasonOpFlags, patch{at + 1, []byte{2}}),
		bad(get, "ack_flag_on_a_get", ReasonOpFlags, patch{at + 1, []byte{4}}),
		bad(get, "reserved_byte", ReasonReserved, patch{at + OpOffsetReserved, []byte{1}}),
		bad(get, "no_key", ReasonKeyLength, patch{at + OpOffsetKeyBytes, []byte{0}}),
		bad(get, "key_of_251_bytes", ReasonKeyLength, patch{at + OpOffsetKeyBytes, []byte{251}}),
		bad(hello, "key_on_a_hello", ReasonKeyLength, patch{at + OpOffsetKeyBytes, []byte{1}}),
		bad(get, "key_over_the_end", ReasonKeyBounds, patch{at + OpOffsetKeyBytes, []byte{9}}),
		bad(get[:len(get)-1], "key_padding_cut", ReasonKeyBounds),
		bad(touch, "value_on_a_touch", ReasonValueUnexpected, patch{at + OpOffsetValueBytes, []byte{1}}),
		bad(put, "value_over_the_end", ReasonValueBounds, patch{at + OpOffsetValueBytes, []byte{9}}),
		bad(put, "value_of_4_gigabytes", ReasonValueBounds, patch{at + OpOffsetValueBytes, []byte{0xFF, 0xFF, 0xFF, 0xFF}}),
		bad(put, "ttl_over_the_limit", ReasonTTL, patch{at + OpOffsetTTLSeconds, []byte{0x01, 0x9C, 0xDA, 0x01}}),
		bad(get, "ttl_on_a_get", ReasonTTL, patch{at + OpOffsetTTLSeconds, []byte{1}}),
		bad(put, "soft_ttl_not_below_the_ttl", ReasonSoftTTL, patch{at + OpOffsetTTLSeconds, []byte{5, 0, 0, 0, 5}}),
		bad(get, "soft_ttl_on_a_get", ReasonSoftTTL, patch{at + OpOffsetSoftSeconds, []byte{1}}),
		bad(touch, "argument_on_a_touch", ReasonArg, patch{at + OpOffsetArg, []byte{1}}),
		bad(segment, "offset_between_units", ReasonSegment, patch{at + OpOffsetOffsetBytes, []byte{8}}),
		bad(wanted, "wanted_from_between_units", ReasonSegment, patch{at + OpOffsetOffsetBytes, []byte{8}}),
		bad(segment, "part_over_its_total", ReasonSegment, patch{at + OpOffsetTotalBytes, []byte{0xFF, 0x03}}),
		bad(segment, "part_that_ends_between_units", ReasonSegment, patch{at + OpOffsetValueBytes, []byte{0x08, 0x02}}),
		bad(segment, "offset_that_wraps", ReasonSegment, patch{at + OpOffsetOffsetBytes, []byte{0x00, 0xFC, 0xFF, 0xFF}}),
		bad(get, "padding_behind_the_key", ReasonPadding, patch{len(get) - 1, []byte{1}}),
		bad(put, "padding_behind_the_value", ReasonPadding, patch{len(put) - 1, []byte{1}}),
		bad(put[:len(put)-1], "padding_cut_in_its_middle", ReasonPadding),
		bad(append(put[:len(put):len(put)], make([]byte, 8)...), "8_more_bytes", ReasonTrailing),
		bad(build(op(Get, "a", nil), op(Ping, "", nil)), "ping_beside_a_get", ReasonNotAlone),
		bad(build(op(Hello, "", make([]byte, 64)), op(Hello, "", make([]byte, 64))), "two_hellos", ReasonNotAlone),
		bad(build(op(Hello, "", make([]byte, MinHelloPadBytes-1))), "hello_shorter_than_its_reply", ReasonHelloShort),
	}
	return vectors
}

func malformedReplies() []malformedVector {
	c := replyCases()
	hit, staged, segment := buildReply(&c[0].header, c[0].ops), buildReply(&c[1].header, c[1].ops), buildReply(&c[6].header, c[6].ops)
	multi, miss := buildReply(&c[12].header, c[12].ops), buildReply(&c[2].header, c[2].ops)
	const at = ReplyHeaderBytes
	bad := func(good []byte, name string, reason Reason, patches ...patch) malformedVector {
		return broken("reply", good, name, reason, patches...)
	}
	return []malformedVector{
		bad(hit[:63], "header_cut", ReasonShort),
		bad(hit, "a_request", ReasonDirection, patch{OffsetFlags, []byte{0}}),
		bad(hit, "stage_flag_without_stage_times", ReasonStages, patch{OffsetFlags, []byte{9}}),
		bad(staged, "stage_times_without_the_flag", ReasonStages, patch{OffsetFlags, []byte{1}}),
		bad(staged, "stage_times_of_24_bytes", ReasonExtension, patch{at + 2, []byte{24}}),
		bad(staged, "unknown_extension_must_be_understood", ReasonMustUnderstand, patch{at + 1, []byte{0x80}}),
		bad(hit, "no_operation", ReasonOpCount, patch{OffsetOpCount, []byte{0}}),
		bad(hit, "epoch_of_25_bits", ReasonEpoch, patch{OffsetEpoch + 3, []byte{1}}),
		bad(hit[:at+40], "operation_cut", ReasonOpBounds),
		bad(hit, "opcode_13", ReasonOpcode, patch{at, []byte{13}}),
		bad(hit, "status_25", ReasonStatus, patch{at + 1, []byte{25}}),
		bad(hit, "undefined_operation_flag", ReasonOpFlags, patch{at + 2, []byte{0x40}}),
		bad(hit, "more_without_segment", ReasonOpFlags, patch{at + 2, []byte{0x20}}),
		bad(hit, "value_over_the_end", ReasonValueBounds, patch{at + 4, []byte{6}}, patch{at + ReplyOpOffsetTotalBytes, []byte{6}}),
		bad(hit, "value_shorter_than_its_total", ReasonSegment, patch{at + ReplyOpOffsetTotalBytes, []byte{6}}),
		bad(segment, "offset_between_units", ReasonSegment, patch{at + ReplyOpOffsetOffsetBytes, []byte{8}}),
		bad(segment, "part_over_its_total", ReasonSegment, patch{at + ReplyOpOffsetTotalBytes, []byte{0xFF, 0x0B}}),
		bad(segment[:len(segment)-8], "part_that_ends_between_units", ReasonSegment, patch{at + 4, []byte{0xF8, 0x03}}),
		bad(multi, "padding_between_operations", ReasonPadding, patch{at + 48 + 7, []byte{1}}),
		bad(append(miss[:len(miss):len(miss)], make([]byte, 8)...), "8_more_bytes", ReasonTrailing),
	}
}
