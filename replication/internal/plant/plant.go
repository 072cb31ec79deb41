// Package plant names the faults that the simulator plants into the group logic to
// see whether its invariants catch them. Nothing outside replication can reach it,
// and a node without a planted fault pays one comparison for each.
package plant

// Fault is one planted fault; 0 is none.
type Fault uint8

// The faults.
const (
	None                 Fault = iota
	AckPastFence               // acknowledges past the fence
	FenceFromReceipt           // counts the fence from the answer's arrival
	EarlyTombstones            // forgets deletes too early
	StaleEpoch                 // a follower takes batches of an older epoch
	OneDetector                // accuses when one detector alone is silent
	GrantAfterEvidence         // grants to a leader it has accused
	EvidenceWhileGrant         // accuses a leader whose grant still stands
	SkipFenceWait              // leads a gained range at once
	ResumePastGap              // a stream goes on past records that were lost
	LoneWitness                // the controller promotes on one witness
	GrantOldEpoch              // grants under an epoch it knows to be past
	MinorityGrants             // a fence on fewer grants than a majority
	OpenEpochs                 // the controller changes the ring while an earlier epoch is open
	KeepStaleData              // a gained range is served with what lay there from before
	IgnoreMinimumVersion       // a replica answers below the reader's minimum version
	HideDegraded               // acknowledges as replicated what no follower holds
	SequenceFromZero           // a new leader's versions begin with the old epoch
	SlowParts                  // a repair takes parts older than the tombstones
	PartitionUnmarked          // acknowledges in a partition as if the others knew
	AnswerLacking              // a follower answers for ranges that it has not whole
	BlindSwap                  // the ring is put without comparing its revision
	Faults                     // how many there are, None included
)

var names = [Faults]string{
	"none", "ack-past-fence", "fence-from-receipt", "early-tombstones", "stale-epoch", "one-detector",
	"grant-after-evidence", "evidence-while-granted", "skip-fence-wait", "resume-past-gap", "lone-witness",
	"grant-old-epoch", "minority-grants", "open-epochs", "keep-stale-data", "ignore-minimum-version", "hide-degraded",
	"sequence-from-zero", "slow-parts", "partition-unmarked", "answer-lacking", "blind-swap",
}

func (f Fault) String() string {
	if f < Faults {
		return names[f]
	}
	return "unknown fault"
}
