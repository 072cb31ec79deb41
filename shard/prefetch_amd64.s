//go:build !asan

#include "textflag.h"

// func prefetch(p unsafe.Pointer)
TEXT ·prefetch(SB), NOSPLIT|NOFRAME, $0-8
	MOVQ p+0(FP), AX
	PREFETCHT1 (AX)
	RET

// func prefetch3(p unsafe.Pointer)
TEXT ·prefetch3(SB), NOSPLIT|NOFRAME, $0-8
	MOVQ p+0(FP), AX
	PREFETCHT1 (AX)
	PREFETCHT1 64(AX)
	PREFETCHT1 128(AX)
	RET

// func prefetchSlots(base unsafe.Pointer, handles *Handle, n int)
TEXT ·prefetchSlots(SB), NOSPLIT|NOFRAME, $0-24
	MOVQ  base+0(FP), AX
	MOVQ  handles+8(FP), BX
	MOVQ  n+16(FP), CX
	TESTQ CX, CX
	JLE   done

next:
	MOVL (BX), DX
	LEAQ (AX)(DX*8), DX
	PREFETCHT1 (DX)
	PREFETCHT1 64(DX)
	PREFETCHT1 128(DX)
	ADDQ $4, BX
	DECQ CX
	JNZ  next

done:
	RET
