//go:build !asan

#include "textflag.h"

// func prefetch(p unsafe.Pointer)
TEXT ·prefetch(SB), NOSPLIT|NOFRAME, $0-8
	MOVD p+0(FP), R0
	PRFM (R0), PLDL2KEEP
	RET

// func prefetch3(p unsafe.Pointer)
TEXT ·prefetch3(SB), NOSPLIT|NOFRAME, $0-8
	MOVD p+0(FP), R0
	PRFM (R0), PLDL2KEEP
	PRFM 64(R0), PLDL2KEEP
	PRFM 128(R0), PLDL2KEEP
	RET

// func prefetchSlots(base unsafe.Pointer, handles *Handle, n int)
TEXT ·prefetchSlots(SB), NOSPLIT|NOFRAME, $0-24
	MOVD base+0(FP), R0
	MOVD handles+8(FP), R1
	MOVD n+16(FP), R2
	CMP  $0, R2
	BLE  done

next:
	MOVWU.P 4(R1), R3
	ADD  R3<<3, R0, R4
	PRFM (R4), PLDL2KEEP
	PRFM 64(R4), PLDL2KEEP
	PRFM 128(R4), PLDL2KEEP
	SUBS $1, R2, R2
	BNE  next

done:
	RET
