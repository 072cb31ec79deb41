package replication

// messageKind is the first byte of an encoded message.
type messageKind uint8

const (
	kindBeat messageKind = iota + 1
	kindGrantAsk
	kindGrant
	kindRingNews
	kindOpen
	kindResume
	kindStart
	kindBatch
	kindAck
	kindRelease
	kindBegin
	kindReady
	kindPart
	kindPartAck
	kindRedo
	kindReport
	kindHints
)

func (Beat) kind() messageKind     { return kindBeat }
func (GrantAsk) kind() messageKind { return kindGrantAsk }
func (Grant) kind() messageKind    { return kindGrant }
func (RingNews) kind() messageKind { return kindRingNews }
func (Open) kind() messageKind     { return kindOpen }
func (Resume) kind() messageKind   { return kindResume }
func (Start) kind() messageKind    { return kindStart }
func (Batch) kind() messageKind    { return kindBatch }
func (Ack) kind() messageKind      { return kindAck }
func (Release) kind() messageKind  { return kindRelease }
func (Begin) kind() messageKind    { return kindBegin }
func (Ready) kind() messageKind    { return kindReady }
func (Part) kind() messageKind     { return kindPart }
func (PartAck) kind() messageKind  { return kindPartAck }
func (Redo) kind() messageKind     { return kindRedo }
func (Report) kind() messageKind   { return kindReport }
func (Hints) kind() messageKind    { return kindHints }
