-- Gannet datagrams, format version 1, for Wireshark and tshark. The format's text is docs/protocol.md.
--
--   wireshark -X lua_script:docs/wireshark/gannet.lua
--   tshark -X lua_script:docs/wireshark/gannet.lua -r capture.pcap -Y 'gannet.reply.status == 1'
--
-- Or copy this file to the personal plugin folder (Help > About Wireshark > Folders). Datagrams are recognized by their magic, on
-- any port; "Decode As" works too. Replies are matched with the requests that were captured before them.

local gannet = Proto("gannet", "Gannet")

local PREFIX, REQUEST_HEADER, REPLY_HEADER = 64, 96, 64
local OP_HEADER, OP_SEGMENT, REPLY_OP_HEADER, EXTENSION_HEADER = 24, 16, 48, 8
local MAGIC, VERSION = 0x6E47, 1
local HELLO, HELLO_VALUE, STAGES = 11, 48, 1

local opcodes = {
  [0] = "(whole request)", "GET", "PUT", "DELETE", "TOUCH", "ADD", "REPLACE", "CAS", "INCR", "PING", "STATS", "HELLO", "RING",
}

local statuses = {
  [0] = "OK", "MISS", "EXISTS", "NOT_FOUND", "VERSION_MISMATCH", "LEASE_GRANTED", "LEASE_WAIT", "LEASE_REFUSED", "MOVED", "TOO_LARGE",
  "NO_MEMORY", "OVERLOADED", "TOO_LATE", "BAD_REQUEST", "NOT_A_NUMBER", "COOKIE_REQUIRED", "UNSUPPORTED", "FENCED", "OUTCOME_UNKNOWN",
  "FORBIDDEN", "BEHIND", "CHANGED", "PARTIAL", "UNAVAILABLE", "BUSY_UPLOADS",
}

local extension_types = { [STAGES] = "STAGES" }

local f = {
  magic = ProtoField.uint16("gannet.magic", "Magic", base.HEX),
  version = ProtoField.uint8("gannet.version", "Format version"),
  flags = ProtoField.uint8("gannet.flags", "Flags", base.HEX),
  flag_reply = ProtoField.bool("gannet.flags.reply", "REPLY", 8, nil, 0x01),
  flag_sealed = ProtoField.bool("gannet.flags.sealed", "SEALED", 8, nil, 0x02),
  flag_auth = ProtoField.bool("gannet.flags.auth", "AUTH", 8, nil, 0x04),
  flag_stages = ProtoField.bool("gannet.flags.stages", "STAGES", 8, nil, 0x08),
  shard = ProtoField.uint16("gannet.shard", "Shard"),
  count = ProtoField.uint8("gannet.count", "Operations"),
  words = ProtoField.uint8("gannet.header_words", "Header length (8-byte words)"),
  key_hash = ProtoField.uint64("gannet.key_hash", "Key hash", base.HEX),
  request_id = ProtoField.uint64("gannet.request_id", "Request id", base.HEX),
  session_id = ProtoField.uint64("gannet.session_id", "Session id", base.HEX),
  packet_number = ProtoField.uint64("gannet.packet_number", "Packet number"),
  tag = ProtoField.bytes("gannet.tag", "Tag"),
  epoch = ProtoField.uint32("gannet.epoch", "Epoch"),
  budget = ProtoField.uint32("gannet.budget_us", "Time budget (µs)"),
  load = ProtoField.uint16("gannet.load", "Load (of 65535)"),
  rx_queue = ProtoField.uint16("gannet.rx_queue", "Rx queue"),
  cookie = ProtoField.uint64("gannet.cookie", "Cookie", base.HEX),
  min_version = ProtoField.uint64("gannet.min_version", "Minimum version", base.HEX),
  grant_offset = ProtoField.uint32("gannet.grant_offset_us", "Pacing grant: offset (µs)"),
  grant_rate = ProtoField.uint32("gannet.grant_rate_kbit", "Pacing grant: rate (kbit/s)"),
  expected = ProtoField.uint32("gannet.expected_bytes", "Expected bytes"),
  fan_out = ProtoField.uint16("gannet.fan_out", "Fan-out"),
  max_reply = ProtoField.uint16("gannet.max_reply_bytes", "Reply room (bytes)"),
  request_in = ProtoField.framenum("gannet.request_in", "Request in", base.NONE, frametype.REQUEST),
  reply_in = ProtoField.framenum("gannet.reply_in", "First reply in", base.NONE, frametype.RESPONSE),
  reply_time = ProtoField.double("gannet.reply_time", "Time since the request (s)"),

  ext_type = ProtoField.uint16("gannet.ext.type", "Type", base.HEX, extension_types),
  ext_length = ProtoField.uint16("gannet.ext.length", "Length"),
  ext_inline = ProtoField.uint32("gannet.ext.inline", "Inline data", base.HEX),
  ext_data = ProtoField.bytes("gannet.ext.data", "Data"),
  received = ProtoField.uint64("gannet.stages.received_ns", "Received (ns)"),
  served = ProtoField.uint64("gannet.stages.served_ns", "Served (ns)"),
  sent = ProtoField.uint64("gannet.stages.sent_ns", "Sent (ns)"),

  opcode = ProtoField.uint8("gannet.op.opcode", "Opcode", base.DEC, opcodes),
  op_flags = ProtoField.uint8("gannet.op.flags", "Flags", base.HEX),
  op_segment = ProtoField.bool("gannet.op.flags.segment", "SEGMENT", 8, nil, 0x01),
  op_lease = ProtoField.bool("gannet.op.flags.lease", "LEASE", 8, nil, 0x02),
  op_ack = ProtoField.bool("gannet.op.flags.ack_replica", "ACK_REPLICA", 8, nil, 0x04),
  op_no_value = ProtoField.bool("gannet.op.flags.no_value", "NO_VALUE", 8, nil, 0x08),
  op_stale = ProtoField.bool("gannet.op.flags.stale_ok", "STALE_OK", 8, nil, 0x10),
  key_length = ProtoField.uint8("gannet.op.key_length", "Key length"),
  value_length = ProtoField.uint32("gannet.op.value_length", "Value length"),
  ttl = ProtoField.uint32("gannet.op.ttl_s", "TTL (s)"),
  soft_ttl = ProtoField.uint32("gannet.op.soft_ttl_s", "Soft TTL (s)"),
  arg = ProtoField.uint64("gannet.op.arg", "Argument", base.HEX),
  delta = ProtoField.int64("gannet.op.delta", "Delta"),
  op_total = ProtoField.uint32("gannet.op.total_bytes", "Total (bytes)"),
  op_offset = ProtoField.uint32("gannet.op.offset_bytes", "Offset (bytes)"),
  transfer = ProtoField.uint64("gannet.op.transfer", "Transfer id, or version", base.HEX),
  key = ProtoField.bytes("gannet.op.key", "Key"),
  key_text = ProtoField.string("gannet.op.key_text", "Key as text"),
  value = ProtoField.bytes("gannet.op.value", "Value"),

  r_opcode = ProtoField.uint8("gannet.reply.opcode", "Opcode", base.DEC, opcodes),
  status = ProtoField.uint8("gannet.reply.status", "Status", base.DEC, statuses),
  r_flags = ProtoField.uint16("gannet.reply.flags", "Flags", base.HEX),
  r_segment = ProtoField.bool("gannet.reply.flags.segment", "SEGMENT", 16, nil, 0x01),
  r_stale = ProtoField.bool("gannet.reply.flags.stale", "STALE", 16, nil, 0x02),
  r_degraded = ProtoField.bool("gannet.reply.flags.degraded", "DEGRADED", 16, nil, 0x04),
  r_lease = ProtoField.bool("gannet.reply.flags.lease", "LEASE", 16, nil, 0x08),
  r_l1 = ProtoField.bool("gannet.reply.flags.l1_grant", "L1_GRANT", 16, nil, 0x10),
  r_more = ProtoField.bool("gannet.reply.flags.more", "MORE", 16, nil, 0x20),
  r_value_length = ProtoField.uint32("gannet.reply.value_length", "Value length"),
  item_version = ProtoField.uint64("gannet.reply.version", "Version", base.HEX),
  item_epoch = ProtoField.uint32("gannet.reply.version.epoch", "Epoch of the version"),
  r_ttl = ProtoField.uint32("gannet.reply.ttl_s", "Remaining TTL (s)"),
  age = ProtoField.uint32("gannet.reply.age_s", "Age (s)"),
  crc = ProtoField.uint32("gannet.reply.crc32c", "CRC32C", base.HEX),
  l1_grant = ProtoField.uint16("gannet.reply.l1_grant_ms", "L1 grant (ms)"),
  index = ProtoField.uint16("gannet.reply.index", "Index"),
  token = ProtoField.uint64("gannet.reply.token", "Token", base.HEX),
  r_total = ProtoField.uint32("gannet.reply.total_bytes", "Total (bytes)"),
  r_offset = ProtoField.uint32("gannet.reply.offset_bytes", "Offset (bytes)"),
  r_value = ProtoField.bytes("gannet.reply.value", "Value"),

  h_shards = ProtoField.uint16("gannet.hello.shards", "Shards"),
  h_port = ProtoField.uint16("gannet.hello.base_port", "Base port"),
  h_max_value = ProtoField.uint32("gannet.hello.max_value_bytes", "Longest value (bytes)"),
  h_max_payload = ProtoField.uint32("gannet.hello.max_payload_bytes", "Longest payload (bytes)"),
  h_flags = ProtoField.uint32("gannet.hello.flags", "Server flags", base.HEX),
  h_node = ProtoField.uint64("gannet.hello.node_id", "Node id", base.HEX),
  h_boot = ProtoField.uint64("gannet.hello.boot_id", "Boot id", base.HEX),
  h_now = ProtoField.uint64("gannet.hello.now_ns", "Boot clock (ns)"),
}

local fields = {}
for _, field in pairs(f) do fields[#fields + 1] = field end
gannet.fields = fields

local malformed = ProtoExpert.new("gannet.malformed", "Malformed datagram", expert.group.MALFORMED, expert.severity.ERROR)
gannet.experts = { malformed }

-- Requests and replies by session and request id; numbers of frames, and times. Filled in the first pass over a capture.
local asked, answered = {}, {}

function gannet.init()
  asked, answered = {}, {}
end

local function align(n)
  return n + (8 - n % 8) % 8
end

local function bad(tree, what)
  tree:add_proto_expert_info(malformed, what)
end

local function name(names, number, what)
  return names[number] or string.format("%s %d", what, number)
end

local function add_flags(tree, buffer, field, bits)
  local sub = tree:add_le(field, buffer)
  for _, bit in ipairs(bits) do sub:add_le(bit, buffer) end
end

-- add_all adds little-endian fields that follow one another: {field, length} each.
local function add_all(tree, buffer, at, list)
  for _, item in ipairs(list) do
    tree:add_le(item[1], buffer(at, item[2]))
    at = at + item[2]
  end
end

local function add_prefix(tree, buffer, is_reply)
  tree:add_le(f.magic, buffer(0, 2))
  tree:add_le(f.version, buffer(2, 1))
  add_flags(tree, buffer(3, 1), f.flags, { f.flag_reply, f.flag_sealed, f.flag_auth, f.flag_stages })
  add_all(tree, buffer, 4, {
    { f.shard, 2 }, { f.count, 1 }, { f.words, 1 }, { f.key_hash, 8 }, { f.request_id, 8 }, { f.session_id, 8 }, { f.packet_number, 8 },
  })
  tree:add(f.tag, buffer(40, 16))
  tree:add_le(f.epoch, buffer(56, 4))
  if is_reply then
    add_all(tree, buffer, 60, { { f.load, 2 }, { f.rx_queue, 2 } })
  else
    add_all(tree, buffer, 60, {
      { f.budget, 4 }, { f.cookie, 8 }, { f.min_version, 8 }, { f.grant_offset, 4 }, { f.grant_rate, 4 }, { f.expected, 4 },
      { f.fan_out, 2 }, { f.max_reply, 2 },
    })
  end
end

-- match shows which frame holds the other half of an exchange.
local function match(tree, buffer, pinfo, is_reply)
  local id = tostring(buffer(24, 8):bytes()) .. tostring(buffer(16, 8):bytes())
  if not pinfo.visited then
    if is_reply then
      answered[id] = answered[id] or pinfo.number
    else
      asked[id] = asked[id] or { number = pinfo.number, time = pinfo.rel_ts }
    end
  end
  local request = asked[id]
  if is_reply and request then
    tree:add(f.request_in, request.number):set_generated()
    tree:add(f.reply_time, pinfo.rel_ts - request.time):set_generated()
  elseif not is_reply and answered[id] then
    tree:add(f.reply_in, answered[id]):set_generated()
  end
end

local function add_extensions(tree, buffer, at, upto)
  while at < upto do
    local length = upto - at >= EXTENSION_HEADER and buffer(at + 2, 2):le_uint() or 0
    if length < EXTENSION_HEADER or length % 8 ~= 0 or at + length > upto then
      return bad(tree, "The length of an extension is wrong")
    end
    local kind = buffer(at, 2):le_uint()
    local sub = tree:add(gannet, buffer(at, length), "Extension: " .. name(extension_types, kind, "type"))
    add_all(sub, buffer, at, { { f.ext_type, 2 }, { f.ext_length, 2 }, { f.ext_inline, 4 } })
    if kind == STAGES and length == 32 then
      add_all(sub, buffer, at + 8, { { f.received, 8 }, { f.served, 8 }, { f.sent, 8 } })
    elseif length > EXTENSION_HEADER then
      sub:add(f.ext_data, buffer(at + 8, length - 8))
    end
    at = at + length
  end
end

-- printable returns a key as text, or nil when it is not.
local function printable(range)
  local text = range:raw()
  return text:match("^[%g ]+$")
end

local function add_request_op(tree, buffer, at, summary)
  local left = buffer:len() - at
  if left < OP_HEADER then return bad(tree, "An operation reaches over the end") end
  local code, flags = buffer(at, 1):uint(), buffer(at + 1, 1):uint()
  local key_length, value_length = buffer(at + 2, 1):uint(), buffer(at + 4, 4):le_uint()
  local header = OP_HEADER + (flags % 2 == 1 and OP_SEGMENT or 0)
  local value_at = at + header + align(key_length)
  if value_at + value_length > buffer:len() then return bad(tree, "A key or value reaches over the end") end
  local after = math.min(align(value_at + value_length), buffer:len())
  local title = name(opcodes, code, "opcode")
  local sub = tree:add(gannet, buffer(at, after - at), title)
  sub:add_le(f.opcode, buffer(at, 1))
  add_flags(sub, buffer(at + 1, 1), f.op_flags, { f.op_segment, f.op_lease, f.op_ack, f.op_no_value, f.op_stale })
  sub:add_le(f.key_length, buffer(at + 2, 1))
  add_all(sub, buffer, at + 4, { { f.value_length, 4 }, { f.ttl, 4 }, { f.soft_ttl, 4 }, { f.arg, 8 } })
  if title == "INCR" then sub:add_le(f.delta, buffer(at + 16, 8)) end
  if header > OP_HEADER then
    add_all(sub, buffer, at + OP_HEADER, { { f.op_total, 4 }, { f.op_offset, 4 }, { f.transfer, 8 } })
  end
  if key_length > 0 then
    local range = buffer(at + header, key_length)
    sub:add(f.key, range)
    local text = printable(range)
    if text then
      sub:add(f.key_text, range, text)
      title = title .. " " .. text
      sub:append_text(" " .. text)
    end
  end
  if value_length > 0 then sub:add(f.value, buffer(value_at, value_length)) end
  summary[#summary + 1] = title
  return after
end

local function add_hello(tree, buffer, at)
  add_all(tree, buffer, at, {
    { f.h_shards, 2 }, { f.h_port, 2 }, { f.h_max_value, 4 }, { f.h_max_payload, 4 }, { f.h_flags, 4 }, { f.h_node, 8 }, { f.h_boot, 8 },
    { f.h_now, 8 },
  })
end

local function add_reply_op(tree, buffer, at, summary)
  if buffer:len() - at < REPLY_OP_HEADER then return bad(tree, "An operation reaches over the end") end
  local value_length = buffer(at + 4, 4):le_uint()
  local value_at = at + REPLY_OP_HEADER
  if value_at + value_length > buffer:len() then return bad(tree, "A value reaches over the end") end
  local after = math.min(align(value_at + value_length), buffer:len())
  local code = buffer(at, 1):uint()
  local title = name(opcodes, code, "opcode") .. " " .. name(statuses, buffer(at + 1, 1):uint(), "status")
  local sub = tree:add(gannet, buffer(at, after - at), title)
  sub:add_le(f.r_opcode, buffer(at, 1))
  sub:add_le(f.status, buffer(at + 1, 1))
  add_flags(sub, buffer(at + 2, 2), f.r_flags, { f.r_segment, f.r_stale, f.r_degraded, f.r_lease, f.r_l1, f.r_more })
  add_all(sub, buffer, at + 4, { { f.r_value_length, 4 }, { f.item_version, 8 } })
  sub:add(f.item_epoch, buffer(at + 13, 3), buffer(at + 13, 3):le_uint())
  add_all(sub, buffer, at + 16, {
    { f.r_ttl, 4 }, { f.age, 4 }, { f.crc, 4 }, { f.l1_grant, 2 }, { f.index, 2 }, { f.token, 8 }, { f.r_total, 4 }, { f.r_offset, 4 },
  })
  if value_length > 0 then sub:add(f.r_value, buffer(value_at, value_length)) end
  if code == HELLO and value_length >= HELLO_VALUE then add_hello(sub, buffer, value_at) end
  summary[#summary + 1] = title
  return after
end

local function summarize(pinfo, is_reply, shard, summary)
  local shown = table.concat(summary, ", ", 1, math.min(#summary, 4))
  if #summary > 4 then shown = string.format("%s and %d more", shown, #summary - 4) end
  pinfo.cols.info = string.format("%s shard %d: %s", is_reply and "Reply" or "Request", shard, shown)
end

function gannet.dissector(buffer, pinfo, root)
  if buffer:len() < PREFIX or buffer(0, 2):le_uint() ~= MAGIC then return 0 end
  pinfo.cols.protocol = "Gannet"
  local tree = root:add(gannet, buffer())
  local is_reply = buffer(3, 1):uint() % 2 == 1
  local fixed = is_reply and REPLY_HEADER or REQUEST_HEADER
  local header = buffer(7, 1):uint() * 8
  if buffer(2, 1):uint() ~= VERSION or header < fixed or header > buffer:len() then
    bad(tree, "The format version or the length of the header is wrong")
    return buffer:len()
  end
  add_prefix(tree, buffer, is_reply)
  match(tree, buffer, pinfo, is_reply)
  add_extensions(tree, buffer, fixed, header)
  local add, at, summary = is_reply and add_reply_op or add_request_op, header, {}
  if buffer(3, 1):uint() % 4 < 2 then -- sealed operations cannot be read
    for _ = 1, buffer(6, 1):uint() do
      at = at and add(tree, buffer, at, summary)
    end
    if at and at < buffer:len() then bad(tree, "Bytes after the last operation") end
  end
  summarize(pinfo, is_reply, buffer(4, 2):le_uint(), summary)
  return buffer:len()
end

gannet:register_heuristic("udp", function(buffer, pinfo, root)
  if buffer:len() < PREFIX or buffer(0, 2):le_uint() ~= MAGIC or buffer(2, 1):uint() ~= VERSION then return false end
  gannet.dissector(buffer, pinfo, root)
  return true
end)
DissectorTable.get("udp.port"):add_for_decode_as(gannet)
